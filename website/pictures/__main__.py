"""Writes all pictures to `docs/pictures/`."""

from website.links import DOCS
from website.pictures import PICTURES

for name, draw in PICTURES.items():
    (DOCS / "pictures" / name).write_text(draw(), encoding="utf-8")
