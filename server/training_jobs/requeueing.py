"""Trainings that return to the queue before their end, within a transaction."""

from sqlalchemy import Connection

from prefixes.registry.server_leases import held_by
from prefixes.registry.tables import now, trainings
from server.training_jobs import rows
from server.training_jobs.endings import emit_finished


def requeue(connection: Connection, training_id: str, *, is_taken_over: bool = False) -> None:
    """Put a running training back into the queue, unless its owner has cancelled it."""
    found = rows.find(connection, training_id)
    is_taken_over |= found.is_taken_over
    if found.is_cancelling:
        rows.change(connection, training_id, state="cancelled", ended_at=now(), holder=None)
        emit_finished(connection, training_id)
    else:
        again = {"state": "queued", "holder": None, "is_taken_over": is_taken_over}
        rows.change(connection, training_id, **again)


def requeue_held(connection: Connection, holder: str, *, is_taken_over: bool) -> int:
    """Requeue the trainings that a lease holds, and return their number."""
    held = held_by(connection, trainings, holder)
    for training_id in held:
        requeue(connection, training_id, is_taken_over=is_taken_over)
    return len(held)
