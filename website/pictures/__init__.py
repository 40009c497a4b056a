"""The pictures of the documentation, drawn as SVG. `python -m website.pictures` writes them."""

from collections.abc import Callable, Mapping
from typing import Final

from website.links import DOCS
from website.pictures.journey import journey
from website.pictures.mask import mask
from website.pictures.padding import padding
from website.pictures.simulation import incidents, routers

PICTURES: Final[Mapping[str, Callable[[], str]]] = {
    "attention-mask.svg": mask,
    "mixed-batch.svg": journey,
    "padding.svg": padding,
    "simulation-incidents.svg": incidents,
    "simulation-routers.svg": routers,
}
"""The function that draws each file of `docs/pictures/`."""


def write_pictures() -> list[str]:
    """Write all pictures; return their names."""
    for name, draw in PICTURES.items():
        (DOCS / "pictures" / name).write_text(draw(), encoding="utf-8")
    return list(PICTURES)
