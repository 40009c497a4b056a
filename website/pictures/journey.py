"""A picture of a batch of three tasks on its way through the backbone."""

from typing import Final

from website.pictures.drawing import Drawing

_REQUESTS: Final = (
    ("a", "acme/spam", "You have won a prize"),
    ("b", "shop/intents", "Where is my parcel?"),
    ("c", "bank/entities", "Wire 50 to Ann Lee"),
)
_ANSWERS: Final = ("label: spam", "label: delivery", "entity: Ann Lee")
_ROW: Final = 92


def journey() -> str:
    """Draw the requests, the batch, the backbone with its pool of prefixes, and the answers."""
    drawing = Drawing(
        860,
        330,
        "Requests of three tasks in one batch",
        "On the left, texts of three tasks. They enter one packed batch, which passes once through "
        "the frozen backbone. Its attention reads the prefix of each text from a pool. On the "
        "right, the head of each task turns the outputs of its text into an answer.",
    )
    for row, (task, name, text) in enumerate(_REQUESTS):
        y = 40 + _ROW * row
        drawing.box(20, y, 190, 56, task)
        drawing.text(32, y + 23, name, is_bold=True)
        drawing.text(32, y + 43, text)
        drawing.arrow(214, y + 28, 268, 165)
        drawing.arrow(574, 165, 626, y + 28)
        drawing.box(632, y, 208, 56, task)
        drawing.text(644, y + 23, f"head of {name}")
        drawing.text(644, y + 43, _ANSWERS[row], is_bold=True)
    _draw_backbone(drawing)
    return drawing.svg()


def _draw_backbone(drawing: Drawing) -> None:
    drawing.box(276, 40, 292, 250, "frozen", radius=6)
    drawing.text(422, 66, "frozen backbone", anchor="middle", is_bold=True)
    drawing.text(422, 86, "loaded once, shared by all tasks", anchor="middle", color="soft")
    drawing.text(296, 124, "packed batch")
    for column, task in enumerate("aaabbbbccccc"):
        drawing.cell(296 + 21 * column, 134, 21, task, task)
    drawing.text(296, 192, "pool of resident prefixes")
    slots = ".AA.CCC..BB."
    for column, slot in enumerate(slots):
        is_used = slot != "."
        drawing.cell(296 + 21 * column, 202, 21, slot.lower() if is_used else "empty",
                     slot if is_used else "")  # fmt: skip
    drawing.text(296, 252, "Every layer has keys and values in it.", color="soft", size=13)
    drawing.text(296, 272, "Other tenants' prefixes are in it too.", color="soft", size=13)
