"""UsageSeries: metrics by tenant and by task, for at most as many as the operator allows."""

from typing import Final, Self

from prometheus_client import CollectorRegistry, Counter

OTHER: Final = "_other"
"""The label of all tenants, or tasks, beyond the limit. No name begins with an underscore."""

NO_TENANT: Final = "_none"
"""The label of callers without a tenant: anonymous ones and operators."""


class UsageSeries:
    """Counters by tenant and by task. Belongs to the event loop of the engine."""

    def __init__(self, collectors: CollectorRegistry, *, max_tenants: int, max_tasks: int) -> None:
        self._tenants = _Tenants(collectors, max_tenants) if max_tenants else None
        self._tasks = _Tasks(collectors, max_tasks) if max_tasks else None

    @classmethod
    def within(
        cls, collectors: CollectorRegistry, *, max_tenants: int, max_tasks: int
    ) -> Self | None:
        """Build the counters; return None if both limits are 0."""
        if not (max_tenants or max_tasks):
            return None
        return cls(collectors, max_tenants=max_tenants, max_tasks=max_tasks)

    def response_sent(self, tenant: str | None, status: int) -> None:
        """Count a response to a caller of a tenant."""
        if self._tenants is not None:
            self._tenants.requests.labels(self._tenants.label(tenant), str(status)).inc()

    def request_answered(self, task: str) -> None:
        """Count a request that used a task, `tenant/task`, and succeeded."""
        if self._tasks is not None:
            self._tasks.requests.labels(self._tasks.label(task)).inc()

    def text_run(self, tenant: str | None, task: str, tokens: int, device_seconds: float) -> None:
        """Count a text that the device ran for a caller of a tenant."""
        if self._tenants is not None:
            self._tenants.work.add(self._tenants.label(tenant), tokens, device_seconds)
        if self._tasks is not None:
            self._tasks.work.add(self._tasks.label(task), tokens, device_seconds)


class _Labels:
    """The first values of a label, up to a limit.

    They are never replaced by later ones, because a counter must not start over.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: set[str] = set()

    def of(self, name: str) -> str:
        """Return the name, or `OTHER` if it came too late."""
        if name in self._known:
            return name
        if len(self._known) >= self._limit:
            return OTHER
        self._known.add(name)
        return name


class _WorkCounters:
    """Texts, tokens and device time, by one label."""

    def __init__(self, collectors: CollectorRegistry, label: str) -> None:
        self._texts, self._tokens, self._seconds = (
            Counter(f"polyprefix_{label}_{name}", meaning, (label,), registry=collectors)
            for name, meaning in (
                ("texts", f"Texts that the device ran, by {label}."),
                ("tokens", f"Tokens that the device ran, by {label}."),
                ("device_seconds", f"Device time in seconds, by {label}."),
            )
        )

    def add(self, value: str, tokens: int, device_seconds: float) -> None:
        self._texts.labels(value).inc()
        self._tokens.labels(value).inc(tokens)
        self._seconds.labels(value).inc(device_seconds)


class _Tenants:
    def __init__(self, collectors: CollectorRegistry, limit: int) -> None:
        self._labels = _Labels(limit)
        self.work = _WorkCounters(collectors, "tenant")
        self.requests = Counter(
            "polyprefix_tenant_requests",
            "Responses, by tenant of the caller and status.",
            ("tenant", "status"),
            registry=collectors,
        )

    def label(self, tenant: str | None) -> str:
        return NO_TENANT if tenant is None else self._labels.of(tenant)


class _Tasks:
    def __init__(self, collectors: CollectorRegistry, limit: int) -> None:
        self._labels = _Labels(limit)
        self.label = self._labels.of
        self.work = _WorkCounters(collectors, "task")
        self.requests = Counter(
            "polyprefix_task_requests",
            "Requests that used a task and succeeded, by task.",
            ("task",),
            registry=collectors,
        )
