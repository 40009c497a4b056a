"""The picture of mistaken labels: all of a few, of many the worst."""

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from training.results.curves import draw_confusion
from training.tasks.metrics import Measurement, measure


def measured(num_labels: int, true: list[int], given: list[int]) -> Measurement:
    logits = np.eye(num_labels, dtype=np.float32)[given]
    names = [f"label {number}" for number in range(num_labels)]
    return measure("single_label_classification", names, logits, np.array(true))


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Keep every figure that is written."""
    kept: list[Figure] = []
    write = Figure.savefig

    def keep(figure: Figure, path: Path, *, dpi: int) -> None:
        kept.append(figure)
        write(figure, path, dpi=dpi)

    monkeypatch.setattr(Figure, "savefig", keep)
    return kept


def test_a_few_labels_are_drawn_with_their_counts(tmp_path: Path, figures: list[Figure]) -> None:
    path = tmp_path / "confusion.png"
    draw_confusion("acme/topics", measured(3, [0, 0, 1, 2], [0, 1, 1, 2]), path)
    assert matplotlib.image.imread(path).size
    (axes,) = figures[0].axes
    assert axes.get_title() == "acme/topics"
    assert [text.get_text() for text in axes.texts] == list("110010001")
    shares = axes.images[0].get_array()
    assert shares is not None
    assert shares.tolist() == [[0.5, 0.5, 0], [0, 1, 0], [0, 0, 1]]


def test_of_many_labels_the_most_mistaken_are_drawn(tmp_path: Path, figures: list[Figure]) -> None:
    true = [*range(2000), 1500, 1500, 7]
    given = [*range(2000), 3, 7, 1500]
    draw_confusion("acme/topics", measured(2000, true, given), tmp_path / "confusion.png")
    (axes,) = figures[0].axes
    assert axes.get_title() == "acme/topics: the 40 of 2000 labels most often mistaken"
    drawn = [label.get_text() for label in axes.get_yticklabels()]
    assert len(drawn) == 40
    assert {"label 3", "label 7", "label 1500"} <= set(drawn)
    shares = axes.images[0].get_array()
    assert shares is not None
    row = shares[drawn.index("label 1500")].tolist()
    named = {name: value for name, value in zip(drawn, row, strict=True) if value}
    assert named == pytest.approx({"label 3": 1 / 3, "label 7": 1 / 3, "label 1500": 1 / 3})


def test_several_labels_have_no_picture(tmp_path: Path) -> None:
    one = np.array([[1, 0], [0, 1]], dtype=np.float32)
    draw_confusion("a/b", measure("multi_label_classification", "ab", one, one), tmp_path / "x.png")
    assert not (tmp_path / "x.png").exists()
