"""A closed loop: each connection sends its next request after its response."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.request import urlopen

from bench.figures import Bound, Figure, quantile, speed_ratios
from bench.forward_pass import ForwardPass
from bench.processor import Processor
from bench.servers import Target, send

CONNECTIONS: Final = 32
INFINITY: Final = "infinity, one model"
APART: Final = ", a front end apart"
PLAIN: Final = ", plain kernels"

FASTER: Final = {"float32": 3.0, "bfloat16": 2.2}
"""Required requests/s in relation to infinity's, by number type."""

_LONE: Final = {"float32": 0.75}
"""Required p50 of one connection in relation to plain kernels, by number type."""

_CPU_SHARE: Final = 1.5
"""Maximum CPU time of a request, in relation to its share of the forward pass."""

_WARM_UP: Final = 0.5
_BATCH_ROWS: Final = re.compile(
    r"^polyprefix_batch_rows_(sum|count)(?:{[^}]*})? (\S+)$", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """The result of a closed loop: requests/s, latencies in ms, CPU time per request in ms.

    `batch` is the mean number of texts in a batch, and `share` the CPU time of a text in a forward
    pass in ms, if they are known.
    """

    rate: float
    p50: float
    p99: float
    cpu: float
    batch: float | None = None
    share: float | None = None


def closed_loop(
    target: Target,
    seconds: float,
    *,
    connections: int = CONNECTIONS,
    forward: ForwardPass | None = None,
) -> ClosedLoop:
    """Send requests, and then measure the same number of texts in a forward pass."""
    is_ours = target.path.startswith("/v1/")
    before, rows = target.server.cpu_seconds(), _batches(target) if is_ours else None
    load = send(target.plan(connections=connections, seconds=seconds, warm_up=_WARM_UP))
    cpu = target.server.cpu_seconds() - before
    return ClosedLoop(
        rate=len(load.latencies) / load.seconds,
        p50=1000 * quantile(load.latencies, 0.5),
        p99=1000 * quantile(load.latencies, 0.99),
        cpu=1000 * cpu / load.num_sent,
        batch=None if rows is None else _mean(rows, _batches(target)),
        share=None if forward is None else forward.milliseconds_per_text(),
    )


def closed_figures(
    group: str,
    dtype: str,
    name: str,
    served: Mapping[str, Sequence[ClosedLoop]],
    absent: Mapping[str, str],
    *,
    kernels: Mapping[str, Mapping[str, str]],
) -> Iterator[Figure]:
    """Report the loops of all servers, and compare those that serve `name` with the others."""
    for each, rounds in served.items():
        for title, unit, values in (
            (each, "requests/s", [one.rate for one in rounds]),
            (f"{each}: p50", "ms", [one.p50 for one in rounds]),
            (f"{each}: p99", "ms", [one.p99 for one in rounds]),
            (f"{each}: CPU per request", "ms", [one.cpu for one in rounds]),
            (f"{each}: texts per batch", "texts", [one.batch for one in rounds if one.batch]),
            (f"{each}: share of a pass", "ms", [one.share for one in rounds if one.share]),
        ):
            if values:
                yield Figure.of_rounds(group, title, unit, values, kernels=kernels.get(each))
    for each, reason in absent.items():
        yield Figure.absent(group, each, "requests/s", reason)
    if name in served:
        yield from _with_share(group, name, served[name])
    if {name, name + PLAIN} <= served.keys():
        rates = [[1 / one.rate for one in served[each]] for each in (name, name + PLAIN)]
        ratios = speed_ratios(*rates)
        bound = Bound.unchanged(ratios)
        yield Figure.of_rounds(group, f"{name} / plain kernels: requests/s", "times", ratios, bound)
    for each in (name, name + APART):
        yield from _with_infinity(group, dtype, each, served, absent)


def _with_share(group: str, name: str, rounds: Sequence[ClosedLoop]) -> Iterator[Figure]:
    """Compare the CPU time of a request with its share of the forward pass."""
    ratios = [one.cpu / one.share for one in rounds if one.share]
    if ratios:
        bound = Bound(_CPU_SHARE, "at most", applies=Processor.here().meets_bounds)
        title = f"{name}: CPU per request / share of a pass"
        yield Figure.of_rounds(group, title, "times", ratios, bound)


def _with_infinity(
    group: str,
    dtype: str,
    name: str,
    served: Mapping[str, Sequence[ClosedLoop]],
    absent: Mapping[str, str],
) -> Iterator[Figure]:
    faster = Bound(FASTER[dtype], applies=Processor.here().meets_bounds)
    slower = Bound(1, "at most")
    titles = (f"{name} / {INFINITY}: requests/s", f"{name} / {INFINITY}: p99")
    if {name, INFINITY} <= served.keys():
        mine, theirs = served[name], served[INFINITY]
        rates = speed_ratios([1 / one.rate for one in mine], [1 / one.rate for one in theirs])
        yield Figure.of_rounds(group, titles[0], "times", rates, faster)
        tails = [own.p99 / other.p99 for own, other in zip(mine, theirs, strict=True)]
        yield Figure.of_rounds(group, titles[1], "times", tails, slower)
    elif INFINITY in absent:
        for title, bound in zip(titles, (faster, slower), strict=True):
            yield Figure.absent(group, title, "times", absent[INFINITY], bound)


def lone_figures(
    group: str, dtype: str, name: str, served: Mapping[str, Sequence[ClosedLoop]]
) -> Iterator[Figure]:
    """Report one connection at a time on an idle server, and compare it with plain kernels."""
    for each, rounds in served.items():
        for title, values in (
            (f"{each}: p50", [one.p50 for one in rounds]),
            (f"{each}: CPU per request", [one.cpu for one in rounds]),
        ):
            yield Figure.of_rounds(group, title, "ms", values)
    if {name, name + PLAIN} <= served.keys():
        mine, plain = served[name], served[name + PLAIN]
        ratios = [own.p50 / other.p50 for own, other in zip(mine, plain, strict=True)]
        bound = Bound.unchanged(ratios, "at most")
        if dtype in _LONE and Processor.here().meets_bounds:
            bound = Bound(_LONE[dtype], "at most")
        yield Figure.of_rounds(group, f"{name} / plain kernels: p50", "times", ratios, bound)


def _batches(target: Target) -> dict[str, float]:
    """Return the number of texts and of batches that our server has run so far."""
    url = f"http://{target.server.host}:{target.server.port}/metrics"
    with urlopen(url, timeout=30) as answer:
        text = answer.read().decode()
    return batch_rows(text)


def batch_rows(text: str) -> dict[str, float]:
    """Return the sum and the count of texts in batches from metrics, over all label values."""
    totals = {"sum": 0.0, "count": 0.0}
    for name, value in _BATCH_ROWS.findall(text):
        totals[name] += float(value)
    return totals


def _mean(before: Mapping[str, float], after: Mapping[str, float]) -> float | None:
    count = after["count"] - before["count"]
    return (after["sum"] - before["sum"]) / count if count else None
