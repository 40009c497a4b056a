"""Prometheus metrics of one server.

Labels come from closed sets (route templates, status codes) or are limited, so their number is
bounded.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from server.observability.usage_series import UsageSeries

_SECONDS: Final = (
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0,
)  # fmt: skip
_COUNTS: Final = tuple(float(2**power) for power in range(15))


class RequestMetrics(Protocol):
    """Counts requests, and exports all metrics."""

    def request_done(
        self, route: str, status: int, seconds: float, tenant: str | None = None
    ) -> None: ...
    async def exposition(self) -> bytes: ...


class Metrics:
    """All metrics of one server, in their own collector registry.

    `usage` are those by tenant and by task, None if both limits are 0.
    """

    def __init__(self, *, max_tenants: int = 0, max_tasks: int = 0) -> None:
        self._collectors = CollectorRegistry()
        ProcessCollector(registry=self._collectors)
        self.usage = UsageSeries.within(
            self._collectors, max_tenants=max_tenants, max_tasks=max_tasks
        )
        self._add_batch_metrics()
        self._add_text_metrics()
        self._add_request_metrics()
        self._add_training_metrics()
        self._add_batch_file_metrics()
        self._add_lease_metrics()
        self._add_webhook_metrics()
        self._add_drift_metrics()

    def _add_batch_metrics(self) -> None:
        self._batch_tokens = self._histogram("batch_tokens", "Tokens in a batch.", _COUNTS)
        self._batch_rows = self._histogram("batch_rows", "Texts in a batch.", _COUNTS)
        self._batch_distinct_prefixes = self._histogram(
            "batch_distinct_prefixes", "Different prefixes in a batch.", _COUNTS
        )
        self._batch_device = self._histogram(
            "batch_device_seconds", "Time of a batch on the device."
        )
        self._batches_failed = self._counter(
            "batches_split", "Batches that failed and were retried in halves."
        )

    def _add_text_metrics(self) -> None:
        self._queue = self._histogram("request_queue_seconds", "Time of a text in the queue.")
        self._tokenize = self._histogram(
            "tokenize_seconds", "Time to tokenize the texts of a request."
        )
        self._tokens = self._counter("tokens", "Tokens of all texts.")
        self._unknown_tokens = self._counter(
            "unknown_tokens", "Unknown tokens, for text outside the backbone's vocabulary."
        )
        self._load = self._histogram(
            "prefix_load_seconds", "Time to load a prefix onto the device."
        )
        self._evicted = self._counter("prefix_evictions", "Prefixes evicted from the device.")

    def _add_request_metrics(self) -> None:
        self._requests = self._counter(
            "requests", "Responses, by route and status.", ("route", "status")
        )
        self._request_seconds = self._histogram(
            "request_seconds",
            "Time from the start of a request to the end of its response.",
            labels=("route",),
        )

    def _add_training_metrics(self) -> None:
        self._trainings = self._counter("trainings", "Finished trainings, by state.", ("state",))
        self._trainings_now = {
            "queued": self._gauge("trainings_queued", "Queued trainings."),
            "running": self._gauge("trainings_running", "Running trainings."),
        }

    def _add_batch_file_metrics(self) -> None:
        self._batch_files = self._counter(
            "batch_files", "Finished batch files, by state.", ("state",)
        )
        self._batch_files_now = {
            "queued": self._gauge("batch_files_queued", "Queued batch files."),
            "running": self._gauge("batch_files_running", "Running batch files."),
        }

    def _add_lease_metrics(self) -> None:
        self._leases_lost = self._counter(
            "leases_lost", "Leases on running jobs that this server could not extend in time."
        )
        self._jobs_taken_over = self._counter(
            "jobs_taken_over", "Jobs that this server took over from ended servers.", ("kind",)
        )

    def _add_webhook_metrics(self) -> None:
        self._webhook_attempts = self._counter(
            "webhook_attempts",
            "Attempts to deliver an event, by the state of the delivery after it.",
            ("state",),
        )
        self._webhooks_pending = self._gauge("webhook_deliveries_pending", "Pending deliveries.")

    def _add_drift_metrics(self) -> None:
        self._drifted = self._gauge("drifted_versions", "Versions whose texts have drifted.")
        self._drift_index = self._gauge(
            "drift_index",
            "Population stability index of the 100 tasks with the largest ones.",
            ("tenant", "task", "statistic"),
        )

    def batch_done(
        self,
        *,
        rows: int,
        tokens: int,
        distinct_prefixes: int,
        device_seconds: float,
        queue_seconds: Sequence[float],
    ) -> None:
        """Record the size and the time of a batch, and the queue times of its texts."""
        self._batch_rows.observe(rows)
        self._batch_tokens.observe(tokens)
        self._batch_distinct_prefixes.observe(distinct_prefixes)
        self._batch_device.observe(device_seconds)
        for seconds in queue_seconds:
            self._queue.observe(seconds)

    def batch_failed(self) -> None:
        """Count a batch that failed and is retried in halves."""
        self._batches_failed.inc()

    def prefix_loaded(self, seconds: float) -> None:
        """Record the load of a prefix onto the device."""
        self._load.observe(seconds)

    def prefix_evicted(self) -> None:
        """Count a prefix evicted from the device."""
        self._evicted.inc()

    def tokenized(self, seconds: float, tokens: int, unknown: int) -> None:
        """Record the tokenization of a request, with its number of unknown tokens."""
        self._tokenize.observe(seconds)
        self._tokens.inc(tokens)
        self._unknown_tokens.inc(unknown)

    def request_done(
        self, route: str, status: int, seconds: float, tenant: str | None = None
    ) -> None:
        """Record a response. `route` is a template such as `/v1/tenants/{tenant}`.

        `tenant` is the caller's.
        """
        self._requests.labels(route, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)
        if self.usage is not None:
            self.usage.response_sent(tenant, status)

    def training_done(self, state: str) -> None:
        """Count a finished training by its final state."""
        self._trainings.labels(state).inc()

    def trainings_in(self, state: str, number: int) -> None:
        """Set the number of trainings that are queued or running."""
        self._trainings_now[state].set(number)

    def batch_file_done(self, state: str) -> None:
        """Count a finished batch file."""
        self._batch_files.labels(state).inc()

    def batch_files_in(self, state: str, number: int) -> None:
        """Set the number of batch files that are queued or running."""
        self._batch_files_now[state].set(number)

    def lease_lost(self) -> None:
        """Count a lease that this server has lost with its jobs."""
        self._leases_lost.inc()

    def jobs_taken_over(self, kind: str, number: int) -> None:
        """Count jobs of an ended server: `trainings`, `batches` or `webhook_deliveries`."""
        self._jobs_taken_over.labels(kind).inc(number)

    def webhook_attempted(self, state: str) -> None:
        """Count an attempt to deliver an event: `delivered`, `failed`, or `pending` again."""
        self._webhook_attempts.labels(state).inc()

    def webhooks_pending(self, number: int) -> None:
        """Set the number of deliveries that are neither delivered nor failed."""
        self._webhooks_pending.set(number)

    def drifted(self, number: int, indexes: Mapping[tuple[str, str, str], float]) -> None:
        """Set the number of drifted versions, and indexes by tenant, task and statistic."""
        self._drifted.set(number)
        self._drift_index.clear()
        for labels, index in indexes.items():
            self._drift_index.labels(*labels).set(index)

    def watch(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """Add a gauge whose value is read at each export."""
        Gauge(f"polyprefix_{name}", meaning, registry=self._collectors).set_function(read)

    async def exposition(self) -> bytes:
        """Export all metrics in the text format of Prometheus."""
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

    def _gauge(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Gauge:
        return Gauge(f"polyprefix_{name}", meaning, labels, registry=self._collectors)

    def _counter(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Counter:
        return Counter(f"polyprefix_{name}", meaning, labels, registry=self._collectors)
