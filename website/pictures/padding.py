"""A picture of the same texts in a padded batch and in a packed one."""

from website.pictures.drawing import Drawing
from website.pictures.mask import TEXTS

CELL = 26


def padding() -> str:
    """Draw both batches, and count their tokens."""
    longest = max(text.num_tokens for text in TEXTS)
    drawing = Drawing(
        400,
        290,
        "A padded batch and a packed batch",
        "Above, three texts in rows of equal length, with empty cells after the shorter ones. "
        "Below, the same texts end to end in one row, without empty cells.",
    )
    drawing.text(24, 34, "Padded: every row is as long as the longest", is_bold=True)
    for row, text in enumerate(TEXTS):
        for column in range(longest):
            shown = text.task if column < text.num_tokens else ""
            x, y = 24 + CELL * column, 52 + CELL * row
            drawing.cell(x, y, CELL, text.task if shown else "empty", shown)
    padded = longest * len(TEXTS)
    drawing.text(24, 152, f"{padded} positions pass through every layer.", color="soft")
    _draw_packed(drawing)
    return drawing.svg()


def _draw_packed(drawing: Drawing) -> None:
    drawing.text(24, 196, "Packed: one row, without empty positions", is_bold=True)
    tokens = [text.task for text in TEXTS for _ in range(text.num_tokens)]
    for column, task in enumerate(tokens):
        drawing.cell(24 + CELL * column, 212, CELL, task, task)
    drawing.text(24, 264, f"{len(tokens)} positions pass through every layer.", color="soft")
