"""Batch files that return to the queue before their end, within a transaction."""

from sqlalchemy import Connection

from prefixes.registry.server_leases import held_by
from prefixes.registry.tables import batch_files, now
from server.batch_files import rows


def requeue(connection: Connection, batch_id: str, *, is_taken_over: bool = False) -> None:
    """Put a running file back into the queue, unless its owner has cancelled it."""
    found = rows.find(connection, batch_id)
    is_taken_over |= found.is_taken_over
    if found.is_cancelling:
        rows.finish(connection, batch_id, "cancelled")
    else:
        again = {"state": "queued", "holder": None, "is_taken_over": is_taken_over}
        rows.change(connection, batch_id, paused_at=now(), **again)


def requeue_held(connection: Connection, holder: str, *, is_taken_over: bool) -> int:
    """Requeue the batch files that a lease holds, and return their number."""
    held = held_by(connection, batch_files, holder)
    for batch_id in held:
        requeue(connection, batch_id, is_taken_over=is_taken_over)
    return len(held)
