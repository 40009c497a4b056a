"""Fairness: one tenant floods the server, and another sends one short text at a time.

Then both flood it, with different weights.
"""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Final, Self

from bench.figures import Bound, Figure, quantile
from bench.load import Load
from bench.servers import Sending, Target, send
from bench.serving import Serving
from bench.stores import Store
from prefixes.registry import Actor, LimitStore, open_registry

_CONNECTIONS: Final = 64
_INPUTS: Final = 32
"""The flood: connections, and texts of each request. Together they exceed one tenant's share of
the in-flight texts. So some requests get 429, and their connections wait for `Retry-After`.
"""

_BENCH: Final = Actor("bench")

_WARM_UP: Final = 3.0
"""Seconds until the flood has filled the queue."""

_NUM_BODIES: Final = 200

_SHARED_INPUTS: Final = 12
_LONGER: Final = 3
"""Texts of each request when both tenants flood, and how much longer they do. All texts are
admitted: a tenant whose connections wait for `Retry-After` may have none queued, and then gets less
than its share. Only whole requests count, so the tenant with the smaller share needs many.
"""

_WEIGHT: Final = 3.0
"""Weight of the first tenant when both flood; that of the second is 1."""


@dataclass(frozen=True, slots=True)
class _Round:
    """Latencies of the short texts in seconds, and texts per second of the flood."""

    alone: Sequence[float]
    flooded: Sequence[float]
    flood: float
    flood_alone: float

    @classmethod
    def measure(cls, serving: Serving, flood: Target, short: Target) -> Self:
        alone = send(short.plan(connections=1, seconds=serving.seconds)).latencies
        flooding = _flood(flood, serving.seconds)
        plan = short.plan(connections=1, seconds=serving.seconds, warm_up=_WARM_UP)
        flooded = send(plan).latencies
        together = _texts_per_second(flooding.result())
        by_itself = _texts_per_second(_flood(flood, serving.seconds).result())
        return cls(alone, flooded, together, by_itself)

    def slowdown(self, share: float) -> float:
        """Return the quantile of the flooded latencies, over that of the others."""
        return quantile(self.flooded, share) / quantile(self.alone, share)


def fairness(
    serving: Serving, flooding: Store, other: Store, report: Callable[[str], None]
) -> Iterator[Figure]:
    """Measure the latency of a tenant's short texts with and without a flood by another tenant.

    Then measure the shares of two tenants that flood. The stores are two tenants of one folder.
    """
    group = f"{serving.group}, a flood by another tenant"
    with serving.serve(flooding) as target:
        flood, short = _tenant(target, serving, flooding, _INPUTS), _tenant(target, serving, other)
        for each in (flood, short):
            send(each.plan(connections=2, count=_NUM_BODIES // 10))
        rounds = []
        for number in range(serving.rounds):
            report(f"{group}: round {number + 1}")
            rounds.append(_Round.measure(serving, flood, short))
        report(f"{group}: weights")
        both = [_tenant(target, serving, each, _SHARED_INPUTS) for each in (flooding, other)]
        with _weighted(flooding):
            shares = [_measured_share(serving, *both) for _ in range(serving.rounds)]
    for name, share, bound in (("p50", 0.5, 2.0), ("p99", 0.99, 3.0)):
        alone = [1000 * quantile(each.alone, share) for each in rounds]
        yield Figure.of_rounds(group, f"{name} alone", "ms", alone)
        slower = [each.slowdown(share) for each in rounds]
        ratio = f"{name}, flooded / alone"
        yield Figure.of_rounds(group, ratio, "times", slower, Bound(bound, "at most"))
    speeds = [each.flood for each in rounds]
    yield Figure.of_rounds(group, "the flood", "texts/s", speeds)
    kept = [each.flood / each.flood_alone for each in rounds]
    yield Figure.of_rounds(group, "the flood / the flood alone", "times", kept)
    two = f"{serving.group}, floods by two tenants with the weights {_WEIGHT:g} and 1"
    for bound in (Bound(0.9 * _WEIGHT), Bound(1.1 * _WEIGHT, "at most")):
        name = f"texts of the first / of the second, {bound.side} {bound.value:g}"
        yield Figure.of_rounds(two, name, "times", shares, bound)


@contextmanager
def _weighted(store: Store) -> Iterator[None]:
    """Give the tenant of a store its weight. The server notices at its next request."""
    with closing(open_registry(store.folder)) as registry:
        limits = LimitStore(registry.database)
        limits.change_tenant(store.tenant, {"weight": _WEIGHT}, by=_BENCH)
        try:
            yield
        finally:
            limits.change_tenant(store.tenant, {"weight": None}, by=_BENCH)


def _measured_share(serving: Serving, first: Target, second: Target) -> float:
    """Let two tenants flood, and return the ratio of their texts, whose lengths are alike."""
    # Both go on for a while: the one that ends last would have the device for itself.
    seconds = _LONGER * serving.seconds
    loads = [_flood(each, seconds, cool_down=_WARM_UP) for each in (first, second)]
    counts = [len(load.result().latencies) for load in loads]
    return counts[0] / counts[1]


def _flood(flood: Target, seconds: float, *, cool_down: float = 0.0) -> Sending:
    """Send the flood in the background; responses count once it has filled the queue."""
    plan = flood.plan(
        connections=_CONNECTIONS, seconds=seconds, warm_up=_WARM_UP, cool_down=cool_down
    )
    return Sending(plan)


def _tenant(target: Target, serving: Serving, store: Store, num_inputs: int = 1) -> Target:
    """Return the server as a tenant's target, with requests of so many texts to its tasks."""
    rng = random.Random(0)  # noqa: S311 - not a secret
    texts = serving.texts
    bodies = [
        json.dumps({"model": rng.choice(store.tasks), "input": rng.choices(texts, k=num_inputs)})
        for _ in range(_NUM_BODIES)
    ]
    headers = {"Authorization": f"Bearer {store.key}"}
    return Target(target.server, target.path, bodies, headers, target.kernels)


def _texts_per_second(load: Load) -> float:
    return _INPUTS * len(load.latencies) / load.seconds
