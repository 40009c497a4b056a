"""Results: what happened to each request of a simulation, and summaries over seeds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bench.simulation.replica import Level
from bench.simulation.traffic import Floats, Integers


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures of the requests of one run. Latencies are in seconds.

    `loads` are prefixes that were loaded, over requests; several requests can wait for one load.
    The imbalances are those of the replica with the most work, over the mean.
    """

    num_requests: int
    throughput: float
    device_hits: float
    host_hits: float
    loads: float
    mean: float
    p50: float
    p99: float
    store_bytes_per_second: float
    utilization: float
    request_imbalance: float
    busy_imbalance: float
    num_retries: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over seeds, and half the width of its 95 % confidence interval."""

    mean: float
    error: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Estimate":
        count = len(values)
        mean = math.fsum(values) / count
        if count == 1:
            return cls(mean, 0.0)
        deviation = float(np.std(values, ddof=1))
        return cls(mean, float(stats.t.ppf(0.975, count - 1)) * deviation / math.sqrt(count))


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """The outcome of each request, by its number; and the work of each replica."""

    arrivals: Floats
    latencies: Floats
    levels: Integers
    replicas: Integers
    num_retries: int
    busy_seconds: Floats
    prefix_bytes: int

    @property
    def end(self) -> float:
        """The time at which the last response was sent."""
        return float(np.max(self.arrivals + self.latencies))

    def summary(self, warm_up: float = 0.0) -> Summary:
        """Summarize the requests that arrived after the warm-up."""
        counted = self.arrivals >= warm_up
        levels, latencies = self.levels[counted], self.latencies[counted]
        p50, p99 = np.quantile(latencies, [0.5, 0.99])
        seconds = float(self.arrivals[-1]) - warm_up
        requests = np.bincount(self.replicas[counted], minlength=len(self.busy_seconds))
        host, store = (int((levels == level).sum()) for level in (Level.HOST, Level.STORE))
        return Summary(
            num_requests=len(latencies),
            throughput=len(latencies) / (self.end - warm_up),
            device_hits=float((levels == Level.DEVICE).mean()),
            host_hits=host / len(levels),
            loads=(host + store) / len(levels),
            mean=float(latencies.mean()),
            p50=float(p50),
            p99=float(p99),
            store_bytes_per_second=store * self.prefix_bytes / seconds,
            utilization=float(self.busy_seconds.mean() / self.end),
            request_imbalance=_imbalance(requests),
            busy_imbalance=_imbalance(self.busy_seconds),
            num_retries=self.num_retries,
        )

    def windows(self, width: float) -> list[dict[str, float]]:
        """Return the hits on the device and the latencies in each window of `width` seconds."""
        places = (self.arrivals / width).astype(np.int64)
        found = []
        for place in range(int(places[-1]) + 1):
            inside = places == place
            if inside.any():
                p50, p99 = np.quantile(self.latencies[inside], [0.5, 0.99])
                hits = float((self.levels[inside] == Level.DEVICE).mean())
                found.append({
                    "at": place * width, "device_hits": hits, "p50": float(p50), "p99": float(p99)
                })  # fmt: skip
        return found


def _imbalance(work: NDArray[np.floating] | NDArray[np.integer]) -> float:
    return float(work.max() / work.mean())
