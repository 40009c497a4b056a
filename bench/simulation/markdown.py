"""Tables of docs/capacity-planning.md, from files of results."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any, Final

from bench.simulation.results import Estimate

Result = Mapping[str, Any]

_FIGURES: Final[Mapping[str, tuple[str, float, str]]] = {
    "device_hits": ("on the device", 100, "{:.0f} %"),
    "p50": ("p50, ms", 1000, "{:.0f}"),
    "p99": ("p99, ms", 1000, "{:.0f}"),
    "store_bytes_per_second": ("store, MB/s", 1e-6, "{:.0f}"),
    "busy_imbalance": ("busiest replica / mean", 1, "{:.2f}"),
}
"""The heading of each figure, its scale, and how it is written."""

_SLACK_LOAD: Final = 0.6
_INCIDENT_WINDOW: Final = 3
"""The second in which incidents begin."""

_RATIOS: Final = {
    "throughput": "requests/s",
    "hits": "hits",
    "cpu": "CPU time",
    "p50": "p50",
    "p99": "p99",
}


def router_table(results: Sequence[Result], load: float) -> str:
    """Return a row for each router at a load, with means over seeds and their intervals."""
    rows = [one for one in results if _is_plain(one) and one["scenario"]["load"] == load]
    routers = {name: each for name, each in _by(rows, "router").items() if "slack" not in name}
    return _table("router", routers, tuple(_FIGURES))


def slack_table(results: Sequence[Result]) -> str:
    """Return a row for each slack of the affinity policy, at the load of that experiment."""
    rows = [one for one in results if _is_plain(one) and one["scenario"]["load"] == _SLACK_LOAD]
    policies = {
        name: each for name, each in _by(rows, "router").items() if name.startswith("affinity")
    }
    return _table("policy", policies, tuple(_FIGURES))


def incident_table(results: Sequence[Result]) -> str:
    """Return a row for each incident and router: hits before, lowest and at the end, and p99."""
    named: dict[str, list[Result]] = {}
    for one in results:
        scenario = one["scenario"]
        if scenario["incident"] != "none":
            named.setdefault(f"{scenario['incident']} | {scenario['router']}", []).append(one)
    headings = "hits before | lowest | at the end | p99 before, ms | highest | at the end"
    lines = [f"| incident | router | {headings} |", _rule(8)]
    for name, runs in named.items():
        hits = _watched([_over_time(run, "device_hits") for run in runs], min)
        tails = _watched([_over_time(run, "p99") for run in runs], max)
        cells = [f"{100 * hit:.0f} %" for hit in hits] + [f"{1000 * tail:.0f}" for tail in tails]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _over_time(run: Result, figure: str) -> list[float]:
    return [float(window[figure]) for window in run["windows"]]


def _watched(
    runs: Sequence[Sequence[float]], extreme: Callable[[Iterable[float]], float]
) -> tuple[float, float, float]:
    """Return means over runs: of the seconds before the incident, the extreme, and the last."""
    return (
        fmean(fmean(run[1:_INCIDENT_WINDOW]) for run in runs),
        fmean(extreme(run[_INCIDENT_WINDOW:]) for run in runs),
        fmean(fmean(run[-3:-1]) for run in runs),
    )


def exponent_table(results: Sequence[Result]) -> str:
    """Return a row for each exponent of Zipf's law and router."""
    rows = [
        one
        for one in results
        if one["scenario"]["load"] == 0.6
        and one["scenario"]["incident"] == "none"
        and one["scenario"]["router"] in {"affinity", "power of two"}
    ]
    named: dict[str, list[Result]] = {}
    for one in sorted(rows, key=lambda row: row["scenario"]["exponent"]):
        scenario = one["scenario"]
        named.setdefault(f"{scenario['exponent']:g}, {scenario['router']}", []).append(one)
    return _table("exponent, router", named, ("device_hits", "p99", "store_bytes_per_second"))


def validation_rows(content: Mapping[str, Any]) -> str:
    """Return a row for each load: simulated over real figures."""
    lines = ["| load | " + " | ".join(_RATIOS.values()) + " |", _rule(1 + len(_RATIOS))]
    for share, ratios in content["ratios"].items():
        cells = [f"{ratios[name]['mean']:.2f} ± {ratios[name]['error']:.2f}" for name in _RATIOS]
        lines.append(f"| {100 * float(share):.0f} % | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _is_plain(one: Result) -> bool:
    scenario = one["scenario"]
    return bool(scenario["incident"] == "none" and scenario["exponent"] == 1.0)


def _by(results: Sequence[Result], field: str) -> dict[str, list[Result]]:
    found: dict[str, list[Result]] = {}
    for one in results:
        found.setdefault(one["scenario"][field], []).append(one)
    return found


def _table(first: str, rows: Mapping[str, Sequence[Result]], figures: Sequence[str]) -> str:
    headings = " | ".join(_FIGURES[name][0] for name in figures)
    lines = [f"| {first} | {headings} |", _rule(1 + len(figures))]
    for name, results in rows.items():
        cells = " | ".join(_cell(results, figure) for figure in figures)
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines)


def _cell(results: Sequence[Result], figure: str) -> str:
    _, scale, written = _FIGURES[figure]
    estimate = Estimate.of([scale * one["summary"][figure] for one in results])
    value, error = written.format(estimate.mean), written.format(estimate.error)
    return (
        value if estimate.error < 0.05 * estimate.mean else f"{value} ± {error.removesuffix(' %')}"
    )


def _rule(count: int) -> str:
    return "|" + "---|" * count
