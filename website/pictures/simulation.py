"""Charts of simulated replicas, from the committed results in `bench/results/`."""

import json
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, Final

from website.links import DOCS
from website.pictures.charts import Axis, Chart, Points, draw_charts

_RESULTS: Final = DOCS.parent / "bench" / "results" / "simulation-avx2-2026-11-30.json"
_ROUTERS: Final = ("affinity", "bounded hash", "shortest queue", "random")
_WATCHED: Final = ("affinity", "bounded hash", "shortest queue")
_LOADS: Final = (0.3, 0.6, 0.9)
_INCIDENTS: Final = {
    "crash": "A replica of 50 crashes",
    "additions": "5 replicas join 50",
    "shift": "1000 new popular tasks",
}

Result = Mapping[str, Any]


def routers() -> str:
    """Draw hits and latency of four routers by load."""
    results = _matching(exponent=1.0, incident="none")
    load = Axis("load, as a share of the capacity", 0.3, 0.9, _percent, _LOADS)
    return draw_charts(
        [
            Chart(
                "Requests whose prefix is on the device",
                load,
                Axis("", 0.0, 1.0, _percent),
                {name: _by_load(results, name, "device_hits", 1) for name in _ROUTERS},
            ),
            Chart(
                "99th percentile of the latency, ms",
                load,
                Axis("", 0, 600, _number),
                {name: _by_load(results, name, "p99", 1000) for name in _ROUTERS},
            ),
        ],
        width=900,
        height=330,
        title="Routers of 100 replicas by load",
        description=(
            "Two line charts compare four routers for one hundred simulated replicas and one "
            "million tasks, at loads between 30 and 90 percent of the capacity. The first shows "
            "the part of the requests whose prefix is on the device, the second the 99th "
            "percentile of the latency. The page has the numbers in a table."
        ),
    )


def incidents() -> str:
    """Draw the hits over time when a replica crashes, replicas join, or popularity shifts."""
    charts = []
    for incident, title in _INCIDENTS.items():
        results = _matching(incident=incident)
        lines = {name: _over_time(results, name) for name in _WATCHED}
        seconds = Axis("seconds", 0, 10, _number, (0, 5, 10))
        charts.append(Chart(title, seconds, Axis("", 0.0, 1.0, _percent), lines))
    return draw_charts(
        charts,
        width=1000,
        height=310,
        title="Hits during incidents",
        description=(
            "Three line charts show the part of the requests whose prefix is on the device, over "
            "ten seconds, for three routers. The incident begins after three seconds: a replica "
            "crashes and returns four seconds later, five replicas join one after the other, or a "
            "thousand rare tasks become the most popular ones."
        ),
    )


def _matching(**values: object) -> list[Result]:
    results: list[Result] = json.loads(_RESULTS.read_text(encoding="utf-8"))["results"]
    return [
        one
        for one in results
        if all(one["scenario"][name] == value for name, value in values.items())
    ]


def _by_load(results: Sequence[Result], router: str, figure: str, scale: float) -> Points:
    """Return the means of a figure over all seeds."""
    return [
        (
            load,
            scale
            * fmean(
                one["summary"][figure]
                for one in results
                if one["scenario"]["router"] == router and one["scenario"]["load"] == load
            ),
        )
        for load in _LOADS
    ]


def _over_time(results: Sequence[Result], router: str) -> Points:
    windows = [one["windows"] for one in results if one["scenario"]["router"] == router]
    return [
        (each[0]["at"] + 0.5, fmean(window["device_hits"] for window in each))
        for each in zip(*windows, strict=False)
    ]


def _percent(value: float) -> str:
    return f"{value:.0%}"


def _number(value: float) -> str:
    return f"{value:.0f}"
