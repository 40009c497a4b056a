"""The benchmark of training: its workers learn what they are given, and its ratios are as named."""

import sys
from pathlib import Path
from typing import Any

import pytest

from bench.contenders import Worker
from bench.figures import Bound
from bench.kernels import KernelSettings
from bench.learning import MORE_ROWS, OURS, PEFT, PLAIN, SEPARATE, TOGETHER, _ratios

TEXTS = ["a good film", "the late train", "my card", "hello city", "bad news"]


def job(backbone_folder: Path, contenders: tuple[str, ...]) -> dict[str, Any]:
    return {
        "model": str(backbone_folder),
        "dtype": "float32",
        "threads": 1,
        "kernels": KernelSettings.plain(backbone_folder / "kernels.json").job(),
        "batch": 2,
        "prefix_length": 3,
        "num_labels": 2,
        "num_configurations": 8,
        "contenders": contenders,
        "workloads": {
            "few": {
                "texts": TEXTS,
                "tokens": [[2, *range(7, 8 + place), 3] for place in range(len(TEXTS))],
                "labels": [0, 1, 0, 1, 0],
            }
        },
    }


@pytest.mark.parametrize(
    ("script", "rows"),
    [
        ("prefix_training", {OURS: 5, PLAIN: 5, TOGETHER: 40, MORE_ROWS: 40, SEPARATE: 40}),
        ("peft_training", {PEFT: 5}),
    ],
)
def test_every_contender_learns_from_all_rows(
    backbone_folder: Path, script: str, rows: dict[str, int]
) -> None:
    with Worker(sys.executable, script, num_threads=1) as worker:
        found = worker.load(job(backbone_folder, tuple(rows)))
        assert set(found) == {("few", name) for name in rows}
        for name, count in rows.items():
            seconds, learned = worker.run("few", name)
            assert (learned, seconds > 0) == (count, True)
        assert worker.peak_bytes() > 2**24


def test_ratios_compare_what_they_name() -> None:
    seconds = {
        OURS: [2.0] * 3,
        PLAIN: [3.0] * 3,
        PEFT: [8.0] * 3,
        TOGETHER: [6.0] * 3,
        MORE_ROWS: [5.0] * 3,
        SEPARATE: [12.0] * 3,
    }
    speed, plain, more_rows, separate = _ratios("g", seconds, None, Bound(3.5))
    assert (speed.measured, speed.holds) == (4.0, True)
    assert (plain.measured, plain.holds) == (1.5, True)
    assert more_rows.measured == pytest.approx(1.2)
    assert more_rows.holds
    assert (separate.measured, separate.holds) == (0.5, True)


def test_without_a_peer_its_ratio_is_absent_and_says_why() -> None:
    speed, *_ = _ratios("g", {OURS: [2.0]}, "no network", Bound(3.5))
    assert (speed.measured, speed.note, speed.holds) == (None, "no network", None)
