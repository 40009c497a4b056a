"""The pictures are the ones that the code draws, readable on light and dark pages."""

import re
from collections.abc import Mapping
from xml.etree import ElementTree as ET

import pytest

from website.links import DOCS
from website.pictures import PICTURES
from website.pictures.drawing import DARK, LIGHT
from website.pictures.mask import TEXTS

FOLDER = DOCS / "pictures"
SVG = "{http://www.w3.org/2000/svg}"


def luminance(color: str) -> float:
    """The relative luminance of a color, as the guidelines of the W3C define it."""
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_what_the_code_draws(name: str) -> None:
    drawn = PICTURES[name]()
    assert (FOLDER / name).read_text() == drawn, "run `python -m website.pictures`"


def test_every_svg_file_has_its_code() -> None:
    assert {path.name for path in FOLDER.glob("*.svg")} == set(PICTURES)


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_describes_itself_and_loads_nothing(name: str) -> None:
    root = ET.fromstring((FOLDER / name).read_text())
    assert (root.findtext(f"{SVG}title") or "").strip()
    assert len((root.findtext(f"{SVG}desc") or "").split()) > 20
    text = (FOLDER / name).read_text().replace("http://www.w3.org/2000/svg", "")
    assert "http" not in text
    assert "<script" not in text


@pytest.mark.parametrize("name", PICTURES)
def test_words_stay_within_a_picture(name: str) -> None:
    root = ET.fromstring((FOLDER / name).read_text())
    width = float(root.attrib["width"])
    for text in root.iter(f"{SVG}text"):
        length = len(text.text or "") * float(text.attrib["font-size"]) * 0.56
        start = {"start": 0.0, "middle": 0.5, "end": 1.0}[text.attrib["text-anchor"]] * length
        x = float(text.attrib["x"]) - start
        assert x >= 0, text.text
        assert x + length <= width, text.text


@pytest.mark.parametrize("colors", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("behind", ["page", "a", "b", "c", "frozen"])
def test_words_have_contrast_in_both_schemes(colors: Mapping[str, str], behind: str) -> None:
    assert contrast(colors["ink"], colors[behind]) >= 4.5
    if behind in {"page", "frozen"}:
        assert contrast(colors["soft"], colors[behind]) >= 4.5


def test_both_schemes_name_the_same_colors_and_are_in_each_picture() -> None:
    assert LIGHT.keys() == DARK.keys()
    for name in PICTURES:
        text = (FOLDER / name).read_text()
        _, dark = text.split("@media (prefers-color-scheme: dark)")
        assert all(f".{color} {{ fill: {value}; }}" in dark for color, value in DARK.items())


def test_the_mask_fills_the_cells_that_attention_reads() -> None:
    root = ET.fromstring((FOLDER / "attention-mask.svg").read_text())
    filled = [box for box in root.iter(f"{SVG}rect") if box.attrib["class"] in {"a", "b", "c"}]
    pairs = sum(text.num_tokens * (text.num_slots + text.num_tokens) for text in TEXTS)
    heads = sum(
        2 * text.num_tokens + text.num_slots for text in TEXTS
    )  # left of the grid and above it
    assert len(filled) == pairs + heads
    assert not re.search(r"[^\x00-\x7f]", "".join(root.itertext()))
