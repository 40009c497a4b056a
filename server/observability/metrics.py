"""Prometheus metrics of one server.

Labels come from closed sets (route templates, status codes), so their number is bounded.
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS: Final = (
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0,
)  # fmt: skip
_COUNTS: Final = tuple(float(2**power) for power in range(15))


class RequestMetrics(Protocol):
    """Where requests are counted, and whence all metrics come."""

    def request_done(self, route: str, status: int, seconds: float) -> None: ...
    async def exposition(self) -> bytes: ...


class Metrics:
    """All metrics of one server, in a collector registry of their own."""

    def __init__(self) -> None:
        self._collectors = CollectorRegistry()
        self._batch_tokens = self._histogram("batch_tokens", "Tokens of a batch.", _COUNTS)
        self._batch_rows = self._histogram("batch_rows", "Texts of a batch.", _COUNTS)
        self._batch_distinct_prefixes = self._histogram(
            "batch_distinct_prefixes", "Different prefixes that shared a batch.", _COUNTS
        )
        self._batch_device = self._histogram(
            "batch_device_seconds", "Time a batch took on the device."
        )
        self._batches_failed = self._counter(
            "batches_split", "Batches that failed and were run again in halves."
        )
        self._queue = self._histogram(
            "request_queue_seconds", "Time a text waited between admission and its batch."
        )
        self._tokenise = self._histogram("tokenise_seconds", "Time to tokenise a request's texts.")
        self._tokens = self._counter("tokens", "Tokens of all admitted texts.")
        self._unknown_tokens = self._counter(
            "unknown_tokens", "Tokens that stand for text that the vocabulary lacks."
        )
        self._load = self._histogram("prefix_load_seconds", "Time to bring a prefix to the device.")
        self._evicted = self._counter("prefix_evictions", "Prefixes that made room for others.")
        self._requests = self._counter("requests", "Requests answered.", ("route", "status"))
        self._request_seconds = self._histogram(
            "request_seconds", "Time from a request's first byte to its last.", labels=("route",)
        )

        self._trainings = self._counter(
            "trainings", "Trainings that have ended, by how.", ("state",)
        )
        self._trainings_now = {
            "queued": self._gauge("trainings_queued", "Trainings that wait."),
            "running": self._gauge("trainings_running", "Trainings that run."),
        }

    def batch_done(
        self,
        *,
        rows: int,
        tokens: int,
        distinct_prefixes: int,
        device_seconds: float,
        queue_seconds: Sequence[float],
    ) -> None:
        """Count a batch: its size, its mix, and the times of the batch and of its texts."""
        self._batch_rows.observe(rows)
        self._batch_tokens.observe(tokens)
        self._batch_distinct_prefixes.observe(distinct_prefixes)
        self._batch_device.observe(device_seconds)
        for seconds in queue_seconds:
            self._queue.observe(seconds)

    def batch_failed(self) -> None:
        """Count a batch that had to be run again in halves."""
        self._batches_failed.inc()

    def prefix_loaded(self, seconds: float) -> None:
        """Count a prefix brought to the device."""
        self._load.observe(seconds)

    def prefix_evicted(self) -> None:
        """Count a prefix taken off the device."""
        self._evicted.inc()

    def tokenized(self, seconds: float, tokens: int, unknown: int) -> None:
        """Count the tokens of a request, and those that stand for what the vocabulary lacks."""
        self._tokenise.observe(seconds)
        self._tokens.inc(tokens)
        self._unknown_tokens.inc(unknown)

    def request_done(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request; `route` is a template such as `/v1/tenants/{tenant}`."""
        self._requests.labels(route, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)

    def training_done(self, state: str) -> None:
        """Count a training that has ended: succeeded, failed or cancelled."""
        self._trainings.labels(state).inc()

    def trainings_in(self, state: str, number: int) -> None:
        """Show how many trainings are queued or running."""
        self._trainings_now[state].set(number)

    def watch(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """Add a gauge that is read whenever metrics are asked for."""
        Gauge(f"polyprefix_{name}", meaning, registry=self._collectors).set_function(read)

    async def exposition(self) -> bytes:
        """Write all metrics in Prometheus' text format."""
        return generate_latest(self._collectors)

    def _histogram(
        self,
        name: str,
        meaning: str,
        buckets: Sequence[float] = _SECONDS,
        labels: Sequence[str] = (),
    ) -> Histogram:
        return Histogram(
            f"polyprefix_{name}", meaning, labels, buckets=buckets, registry=self._collectors
        )

    def _gauge(self, name: str, meaning: str) -> Gauge:
        return Gauge(f"polyprefix_{name}", meaning, registry=self._collectors)

    def _counter(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Counter:
        return Counter(f"polyprefix_{name}", meaning, labels, registry=self._collectors)
