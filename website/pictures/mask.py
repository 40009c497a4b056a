"""A picture of which token attends to which keys in a packed batch."""

from dataclasses import dataclass
from typing import Final

from website.pictures.drawing import Drawing


@dataclass(frozen=True, slots=True)
class Text:
    """A text of the example: the color of its task, its tokens, and the slots of its prefix."""

    task: str
    num_tokens: int
    num_slots: int


TEXTS: Final = (Text("a", 4, 3), Text("b", 2, 0), Text("c", 5, 2))
"""The example. The task of the second text has no prefix."""

CELL: Final = 26
LEFT: Final = 150
TOP: Final = 96


def mask() -> str:
    """Draw a row for each token and a column for each key: of a slot, or of a token."""
    slots = [text.task for text in TEXTS for _ in range(text.num_slots)]
    tokens = [text.task for text in TEXTS for _ in range(text.num_tokens)]
    width = LEFT + CELL * (len(slots) + len(tokens)) + 80
    height = TOP + CELL * len(tokens) + 64
    drawing = Drawing(
        width,
        height,
        "Which keys a token attends to",
        "A grid. Each row is a token of a batch of three texts, each column is a key: first the "
        "slots of the prefixes, then the tokens. The filled cells form blocks: a token attends to "
        "the slots of its own prefix and to the tokens of its own text, and to nothing else.",
    )
    gap = LEFT + CELL * len(slots) + 10
    _draw_heads(drawing, slots, tokens, gap)
    for row, task in enumerate(tokens):
        y = TOP + CELL * row
        drawing.cell(LEFT - CELL - 8, y, CELL, task, task)
        for column, other in enumerate(slots):
            drawing.cell(LEFT + CELL * column, y, CELL, task if other == task else "empty")
        for column, other in enumerate(tokens):
            drawing.cell(gap + CELL * column, y, CELL, task if other == task else "empty")
    drawing.text(16, TOP + CELL * len(tokens) / 2, "tokens that", color="soft")
    drawing.text(16, TOP + CELL * len(tokens) / 2 + 18, "attend", color="soft")
    drawing.text(
        LEFT, height - 34, "Task b has no prefix: its tokens attend to their own text only."
    )
    drawing.text(LEFT, height - 14, "A token is not affected by keys in empty cells.", color="soft")
    return drawing.svg()


def _draw_heads(drawing: Drawing, slots: list[str], tokens: list[str], gap: int) -> None:
    drawing.text(LEFT, 34, "keys of prefix slots", color="soft")
    drawing.text(gap, 34, "keys of the texts' own tokens", color="soft")
    for column, task in enumerate(slots):
        drawing.cell(LEFT + CELL * column, TOP - CELL - 14, CELL, task, task.upper())
    for column, task in enumerate(tokens):
        drawing.cell(gap + CELL * column, TOP - CELL - 14, CELL, task, task)
