"""DeliveryQueue: the pending deliveries of webhooks, as the process that sends them sees them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Select, delete, func, select, update

from prefixes.registry.database import Database
from prefixes.registry.server_leases import LeaseLost
from prefixes.registry.tables import now, tenants, webhook_deliveries, webhooks

_MAX_FINISHED: Final = 200
"""Finished deliveries that are kept for each webhook."""
_MAX_ROWS: Final = 200
"""Due deliveries that one look at the queue reads."""

_rows: Final = webhook_deliveries.c


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """A delivery that the server with the lease `holder` attempts now.

    `secrets` sign it, the current one first.
    """

    id: int
    webhook_id: str
    message_id: str
    url: str
    body: str
    num_attempts: int
    holder: str
    secrets: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Attempt:
    """The result of an attempt. `status` is of the response; None if there was none.

    A failed attempt has a `reason`. Without `retry_after`, it was the last one.
    """

    status: int | None
    reason: str | None = None
    retry_after: timedelta | None = None

    @property
    def state(self) -> str:
        if self.reason is None:
            return "delivered"
        return "failed" if self.retry_after is None else "pending"


class DeliveryQueue:
    """The queue. Its changes keep all cached answers. Safe to use from many threads and processes.

    Every method raises StoreUnavailable when the database cannot be used.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(
        self, hold: Callable[[Connection], str], *, limit: int
    ) -> tuple[ClaimedDelivery, ...]:
        """Claim due deliveries, those that wait longest first.

        A webhook has one claimed delivery at a time, in all servers.

        Args:
            hold: returns the lease that holds the deliveries.
            limit: maximum number of deliveries.
        """
        with self._database.read() as connection:
            if connection.execute(_due().limit(1)).one_or_none() is None:
                return ()  # most calls end here, and take no lock
        with self._database.write_activity() as connection:
            return _claim(connection, hold, limit)

    def finish(self, delivery: ClaimedDelivery, attempt: Attempt) -> None:
        """Store the result of an attempt, and remove old deliveries of the webhook.

        Raises:
            LeaseLost: when another server may attempt it now.
        """
        moment = now()
        again = None if attempt.retry_after is None else moment + attempt.retry_after
        with self._database.write_activity() as connection:
            _release(
                connection,
                delivery,
                state=attempt.state,
                status=attempt.status,
                reason=attempt.reason,
                attempted_at=moment,
                next_attempt_at=again,
            )
            if again is None:
                _remove_old(connection, delivery.webhook_id)

    def release(self, delivery: ClaimedDelivery) -> None:
        """Make a delivery whose attempt has no result due again.

        Raises: as `finish`.
        """
        with self._database.write_activity() as connection:
            _release(connection, delivery)

    def num_pending(self) -> int:
        """Return the number of deliveries that are neither delivered nor failed."""
        query = select(func.count()).where(_rows.state == "pending")
        with self._database.read() as connection:
            return connection.execute(query).scalar_one()


def requeue_held(
    connection: Connection,
    holder: str,
    *,
    is_taken_over: bool,  # noqa: ARG001 - a delivery has no files
) -> int:
    """Make the deliveries that a lease holds due again, and return their number."""
    held = update(webhook_deliveries).where(_rows.holder == holder)
    return connection.execute(held.values(holder=None)).rowcount


def _claim(
    connection: Connection, hold: Callable[[Connection], str], limit: int
) -> tuple[ClaimedDelivery, ...]:
    first = {row.webhook_id: row for row in reversed(connection.execute(_due()).all())}
    rows = sorted(first.values(), key=lambda row: (row.next_attempt_at, row.id))[:limit]
    if not rows:
        return ()
    holder, moment = hold(connection), now()
    connection.execute(
        update(webhook_deliveries)
        .where(_rows.id.in_([row.id for row in rows]))
        .values(num_attempts=_rows.num_attempts + 1, holder=holder)
    )
    return tuple(_claimed(row, holder, moment) for row in rows)


def _release(connection: Connection, delivery: ClaimedDelivery, **values: Any) -> None:
    held = (_rows.id == delivery.id, _rows.holder == delivery.holder)
    change = update(webhook_deliveries).where(*held).values(holder=None, **values)
    if connection.execute(change).rowcount == 0:
        raise LeaseLost(f"delivery {delivery.id} is no longer held by {delivery.holder}")


def _due() -> Select[Any]:
    is_due = (_rows.state == "pending", _rows.next_attempt_at <= now())
    is_active = (
        webhooks.c.is_enabled,
        tenants.c.suspended_at.is_(None),
        tenants.c.deleted_at.is_(None),
    )
    attempted = webhook_deliveries.alias()
    busy = select(attempted.c.webhook_id).where(
        attempted.c.state == "pending", attempted.c.holder.is_not(None)
    )
    return (
        select(
            webhook_deliveries,
            webhooks.c.url,
            webhooks.c.secret,
            webhooks.c.old_secret,
            webhooks.c.old_secret_until,
        )
        .join(webhooks, webhooks.c.id == _rows.webhook_id)
        .join(tenants, tenants.c.id == webhooks.c.tenant_id)
        .where(*is_due, *is_active, _rows.webhook_id.not_in(busy))
        .order_by(_rows.next_attempt_at, _rows.id)
        .limit(_MAX_ROWS)
    )


def _claimed(row: Any, holder: str, moment: datetime) -> ClaimedDelivery:
    has_old = row.old_secret is not None and row.old_secret_until > moment
    return ClaimedDelivery(
        row.id,
        row.webhook_id,
        row.message_id,
        row.url,
        row.body,
        row.num_attempts + 1,
        holder,
        (row.secret, row.old_secret) if has_old else (row.secret,),
    )


def _remove_old(connection: Connection, webhook_id: str) -> None:
    is_finished = (_rows.webhook_id == webhook_id, _rows.state != "pending")
    newest = select(_rows.id).where(*is_finished).order_by(_rows.id.desc())
    last_kept = newest.offset(_MAX_FINISHED - 1).limit(1).scalar_subquery()
    connection.execute(delete(webhook_deliveries).where(*is_finished, _rows.id < last_kept))
