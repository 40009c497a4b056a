"""Labels in pictures: no glyph is lost, with or without a font that has it."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager

from training.results.chart_labels import chart_labels
from training.results.curves import draw_confusion
from training.tasks.metrics import measure

# Private use: no font of a machine that runs these tests has these characters.
RARE, RARER = "\U000f1234", "\U000f1235"


def write_font(path: Path, family: str, characters: str) -> Path:
    """Write a font that draws each of these characters as a triangle."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    pen.lineTo((500, 700))
    pen.lineTo((600, 0))
    pen.closePath()
    names = [".notdef", *(f"glyph{number}" for number in range(len(characters)))]
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder(names)
    font.setupCharacterMap(dict(zip(map(ord, characters), names[1:], strict=True)))
    font.setupGlyf(dict.fromkeys(names, pen.glyph()))
    font.setupHorizontalMetrics(dict.fromkeys(names, (700, 0)))
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": family, "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    font.save(path)
    return path


@pytest.fixture
def family(tmp_path: Path) -> Iterator[str]:
    """Install a font with one rare character, for as long as the test runs."""
    known = list(fontManager.ttflist)
    fontManager.addfont(write_font(tmp_path / "rare.ttf", "Rare Test Font", RARE))
    yield "Rare Test Font"
    fontManager.ttflist[:] = known


def test_a_font_of_the_machine_writes_what_the_usual_one_lacks(family: str) -> None:
    written = chart_labels(["good", f"a {RARE}"])
    assert written.texts == ("good", f"a {RARE}")
    assert written.families[-1] == family
    assert not written.has_numbers


def test_labels_without_a_font_are_written_as_their_numbers(family: str) -> None:
    written = chart_labels([RARE, RARER, "x"], [7, 8, 9])
    assert written.texts == (RARE, "#8", "x")
    assert written.has_numbers


def test_usual_labels_need_no_other_font() -> None:
    written = chart_labels(["good", "caf\u00e9", "\u200b"])
    assert written.texts == ("good", "caf\u00e9", "#2")
    assert written.families == chart_labels(["good"]).families


def test_what_has_no_glyph_and_long_labels_are_cut() -> None:
    written = chart_labels(["one\ntwo\tthree", "a\u200bb\ufe0f", "x" * 90])
    assert written.texts == ("one two three", "ab", "x" * 37 + "...")


def draw(labels: list[str], path: Path, monkeypatch: pytest.MonkeyPatch) -> Axes:
    """Draw a confusion; any warning of matplotlib is an error."""
    kept: list[Figure] = []
    write = Figure.savefig

    def keep(figure: Figure, target: Path, *, dpi: int) -> None:
        kept.append(figure)
        write(figure, target, dpi=dpi)

    monkeypatch.setattr(Figure, "savefig", keep)
    true = np.arange(len(labels))
    logits = np.eye(len(labels), dtype=np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_confusion("acme/x", measure("single_label_classification", labels, logits, true), path)
    assert matplotlib.image.imread(path).size
    return kept[0].axes[0]


def test_a_picture_says_where_numbers_are_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    axes = draw(["good", RARE], tmp_path / "x.png", monkeypatch)
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["good", "#1"]
    assert "report.json, data.labels" in axes.get_title()


def test_a_dollar_of_a_label_begins_no_formula(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = ["$\\frac$", "cost $5 and $6"]
    axes = draw(labels, tmp_path / "x.png", monkeypatch)
    assert [tick.get_text() for tick in axes.get_yticklabels()] == labels
