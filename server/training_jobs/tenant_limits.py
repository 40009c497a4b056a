"""The limits of tenants on trainings, within a transaction of the database."""

import math
import time
from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, delete, func, insert, select, update

from prefixes.limits import LimitSet
from prefixes.registry.limit_rows import effective_limits
from prefixes.registry.quotas import check_room
from prefixes.registry.tables import tenants, training_cpu_time, trainings
from prefixes.registry.tenants import find_tenant_id
from server.errors import LimitExceeded

_HOUR: Final = 3600
_HOURS: Final = 24
_RETRY_SECONDS: Final = 60


def check_may_queue(
    connection: Connection, tenant: str, task: str | None, defaults: LimitSet
) -> None:
    """Check that a tenant may queue one more training, whose version could be published.

    Args:
        connection: a transaction.
        tenant: the owner.
        task: the task to train; None if it is not known yet.
        defaults: the limits of tenants without limits of their own.

    Raises:
        LimitExceeded: when too many are queued, or when the CPU time of the day is used up.
        QuotaExceeded: when the tenant has no room for the version.
    """
    check_room(connection, tenant, task, defaults)
    tenant_id = find_tenant_id(connection, tenant)
    limits = effective_limits(connection, tenant_id, defaults)
    num_queued = _count(connection, tenant_id, "queued")
    if num_queued >= limits.max_queued_trainings:
        raise LimitExceeded(
            f"The queue of {tenant} is full: {num_queued} trainings are queued, and its limit "
            f"`max_queued_trainings` is {limits.max_queued_trainings:.0f}. Retry later, or cancel "
            "a training.",
            limit="max_queued_trainings",
            retry_after_seconds=_RETRY_SECONDS,
        )
    allowed = limits.training_cpu_seconds_per_day
    seconds = seconds_until_below(_last_day(connection, tenant_id), allowed, time.time())
    if seconds > 0:
        raise LimitExceeded(
            f"The trainings of {tenant} have used the CPU time that they may use within 24 hours: "
            f"its limit `training_cpu_seconds_per_day` is {allowed:.10g}. Retry after {seconds} "
            "seconds.",
            limit="training_cpu_seconds_per_day",
            retry_after_seconds=seconds,
        )


def find_next(connection: Connection, defaults: LimitSet) -> str | None:
    """Find the first training of the queue that may run now."""
    first = func.min(trainings.c.id)  # ids increase with time
    query = (
        select(first.label("id"), trainings.c.tenant_id)
        .join(tenants)
        .where(
            trainings.c.state == "queued",
            tenants.c.suspended_at.is_(None),
            tenants.c.deleted_at.is_(None),
        )
        .group_by(trainings.c.tenant_id)
        .order_by(first)
    )
    ready = (
        row.id
        for row in connection.execute(query).all()
        if _may_start(connection, row.tenant_id, defaults)
    )
    return next(ready, None)


def has_cpu_time(connection: Connection, tenant_id: int, defaults: LimitSet) -> bool:
    """Return whether trainings of a tenant may use more CPU time now."""
    allowed = effective_limits(connection, tenant_id, defaults).training_cpu_seconds_per_day
    return allowed == math.inf or _total(_last_day(connection, tenant_id)) < allowed


def add_cpu_time(connection: Connection, tenant_id: int, seconds: float) -> None:
    """Count CPU time that a training has used, and forget that of earlier days."""
    hour = int(time.time()) // _HOUR
    table = training_cpu_time
    owned = table.c.tenant_id == tenant_id
    connection.execute(delete(table).where(owned, table.c.hour <= hour - _HOURS))
    here = (owned, table.c.hour == hour)
    more = update(table).where(*here).values(seconds=table.c.seconds + seconds)
    if connection.execute(more).rowcount == 0:
        connection.execute(insert(table).values(tenant_id=tenant_id, hour=hour, seconds=seconds))


def _may_start(connection: Connection, tenant_id: int, defaults: LimitSet) -> bool:
    limits = effective_limits(connection, tenant_id, defaults)
    num_running = _count(connection, tenant_id, "running")
    return num_running < limits.max_running_trainings and has_cpu_time(
        connection, tenant_id, defaults
    )


def seconds_until_below(used: Sequence[tuple[int, float]], allowed: float, now: float) -> int:
    """Return the time until the CPU time of the last 24 hours is below a limit; 0 if it is.

    Args:
        used: hours since the epoch and the CPU time in each, in order.
        allowed: the limit in seconds.
        now: seconds since the epoch.
    """
    total = _total(used)
    for hour, seconds in used:
        if total < allowed:
            break
        total -= seconds
        end = (hour + _HOURS) * _HOUR
        if total < allowed:
            return max(1, math.ceil(end - now))
    return 0


def _last_day(connection: Connection, tenant_id: int) -> list[tuple[int, float]]:
    since = int(time.time()) // _HOUR - _HOURS
    table = training_cpu_time
    query = (
        select(table.c.hour, table.c.seconds)
        .where(table.c.tenant_id == tenant_id, table.c.hour > since)
        .order_by(table.c.hour)
    )
    return [(row.hour, row.seconds) for row in connection.execute(query)]


def _total(used: Sequence[tuple[int, float]]) -> float:
    return sum(seconds for _, seconds in used)


def _count(connection: Connection, tenant_id: int, state: str) -> int:
    query = select(func.count()).select_from(trainings)
    owned = (trainings.c.tenant_id == tenant_id, trainings.c.state == state)
    return connection.execute(query.where(*owned)).scalar_one()
