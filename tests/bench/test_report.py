"""The tables and files that the benchmark writes."""

import io
import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.figures import Bound, Figure
from bench.report import notes, requirements, table, write

FIGURES = [
    Figure.of_rounds(
        "minilm", "ours", "texts/s", [90.0, 100.0, 110.0], kernels={"linear": "onednn"}
    ),
    Figure.absent("minilm", "peer", "texts/s", "it cannot be installed: no such version"),
    Figure.of_rounds("minilm", "ours / floor", "times", [0.8, 0.9], Bound(0.93)),
    Figure.absent("minilm", "ours / peer", "times", "it cannot be installed", Bound(4)),
    Figure("minilm", "ours / wide", "times", 1.2, bound=Bound(1.5, applies=False)),
    Figure("minilm", "ours / plain", "times", 0.99, bound=Bound(1, noise=0.02)),
    Figure("minilm", "ours / noisy", "times", 0.99, bound=Bound(1, noise=0.5)),
]


def test_every_entry_says_what_was_measured_whether_it_holds_and_where(tmp_path: Path) -> None:
    path = tmp_path / "results" / "latest.json"
    write(FIGURES, path, num_threads=2)
    entries = json.loads(path.read_text(encoding="utf-8"))
    assert [entry["name"] for entry in entries] == [
        "minilm: ours",
        "minilm: peer",
        "minilm: ours / floor",
        "minilm: ours / peer",
        "minilm: ours / wide",
        "minilm: ours / plain",
        "minilm: ours / noisy",
    ]
    needed = {"name", "measured", "bound", "holds", "unit", "processor", "commit", "command"}
    needed |= {"instructions", "threads", "torch", "kernels"}
    assert all(needed <= entry.keys() for entry in entries)
    assert [entry["holds"] for entry in entries] == [None, None, False, None, None, True, None]
    assert entries[0]["kernels"] == {"linear": "onednn"}
    assert entries[0]["threads"] == 2
    assert [entry["bound_applies"] for entry in entries[2:]] == [True, True, False, True, True]
    assert entries[2]["measured"] == 0.85
    assert entries[2]["bound"] == 0.93
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def rows(shown: Table) -> dict[str, str]:
    console = Console(width=140, file=io.StringIO())
    with console.capture() as captured:
        console.print(shown)
    lines = captured.get().splitlines()
    return {line.split("│")[1].strip(): line for line in lines if line.count("│") > 2}


def test_the_table_shows_speeds_and_peers_that_are_absent() -> None:
    shown = rows(table(FIGURES))
    assert "90 to 110" in shown["ours"]
    assert "absent" in shown["peer"]


def test_required_results_pass_fail_or_are_not_applicable() -> None:
    shown = rows(requirements(FIGURES))
    others = ("floor", "peer", "wide", "plain", "noisy")
    assert set(shown) == {f"minilm: ours / {name}" for name in others}
    assert "FAILS" in shown["minilm: ours / floor"]
    assert "at least 0.93" in shown["minilm: ours / floor"]
    assert "not measured" in shown["minilm: ours / peer"]
    assert "not applicable" in shown["minilm: ours / wide"]
    assert "at least 1, noise 0.02" in shown["minilm: ours / plain"]
    assert "pass" in shown["minilm: ours / plain"]
    assert "too much noise" in shown["minilm: ours / noisy"]


def test_each_reason_of_absence_is_told_once() -> None:
    told = notes([FIGURES[1], FIGURES[1], FIGURES[0]])
    assert told == ["minilm: peer: it cannot be installed: no such version"]
