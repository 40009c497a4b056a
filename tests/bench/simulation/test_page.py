"""The page on capacity planning has the tables of the committed results."""

import json
from pathlib import Path
from typing import Any

from bench.simulation.markdown import (
    exponent_table,
    incident_table,
    router_table,
    slack_table,
    validation_rows,
)

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "bench" / "results"
PAGE = (ROOT / "docs" / "capacity-planning.md").read_text(encoding="utf-8")


def read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((RESULTS / name).read_text(encoding="utf-8"))
    return content


def test_the_tables_are_those_of_the_results() -> None:
    results = read("simulation-avx2-2026-11-30.json")["results"]
    tables = [
        *(router_table(results, load) for load in (0.6, 0.9)),
        slack_table(results),
        exponent_table(results),
        incident_table(results),
    ]
    assert [table for table in tables if table not in PAGE] == []


def test_the_ratios_are_those_of_the_validation() -> None:
    assert validation_rows(read("simulation-validation-avx512-2026-12-01.json")) in PAGE
