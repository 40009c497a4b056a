"""The tables and files that the benchmark writes."""

import io
import json
from pathlib import Path

from rich.console import Console

from bench.figures import Bound, Figure
from bench.report import notes, table, write

FIGURES = [
    Figure.of_rounds("minilm", "ours", "texts/s", [90.0, 100.0, 110.0]),
    Figure.absent("minilm", "peer", "texts/s", "it cannot be installed: no such version"),
    Figure.of_rounds("minilm", "ours / floor", "times", [0.8, 0.9], Bound(0.93)),
    Figure.absent("minilm", "ours / peer", "times", "it cannot be installed", Bound(4)),
]


def test_every_entry_says_what_was_measured_whether_it_holds_and_where(tmp_path: Path) -> None:
    path = tmp_path / "results" / "latest.json"
    write(FIGURES, path)
    entries = json.loads(path.read_text(encoding="utf-8"))
    assert [entry["name"] for entry in entries] == [
        "minilm: ours",
        "minilm: peer",
        "minilm: ours / floor",
        "minilm: ours / peer",
    ]
    needed = {"name", "measured", "bound", "holds", "unit", "processor", "commit", "command"}
    assert all(needed <= entry.keys() for entry in entries)
    assert [entry["holds"] for entry in entries] == [None, None, False, None]
    assert entries[2]["measured"] == 0.85
    assert entries[2]["bound"] == 0.93
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_the_table_shows_a_bound_that_fails_and_a_peer_that_is_absent() -> None:
    console = Console(width=140, file=io.StringIO())
    with console.capture() as captured:
        console.print(table(FIGURES))
    lines = captured.get().splitlines()
    shown = {line.split("│")[1].strip(): line for line in lines if line.count("│") > 2}
    assert "NO" in shown["ours / floor"]
    assert "at least 0.93" in shown["ours / floor"]
    assert "absent" in shown["peer"]
    assert "not measured" in shown["ours / peer"]


def test_each_reason_of_absence_is_told_once() -> None:
    told = notes([FIGURES[1], FIGURES[1], FIGURES[0]])
    assert told == ["minilm: peer: it cannot be installed: no such version"]
