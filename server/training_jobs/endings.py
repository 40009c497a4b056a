"""The end of a training, within its transaction: its usage, and the event for webhooks."""

from sqlalchemy import Connection

from prefixes.registry.outbox import emit
from prefixes.registry.tables import now
from prefixes.registry.usage import UsageRow, add_usage
from server.training_jobs import rows
from server.training_jobs.records import TrainingJob


def charge(connection: Connection, job: TrainingJob, cpu_seconds: float) -> None:
    """Add the CPU time of a training to the usage of its tenant and key in this hour."""
    if not cpu_seconds:
        return
    used = UsageRow(
        hour=now().replace(minute=0, second=0, microsecond=0),
        tenant=job.request.tenant,
        task=f"{job.request.tenant}/{job.request.task}",
        training_cpu_seconds=cpu_seconds,
        key_id=job.key_id,
    )
    add_usage(connection, [used])


def emit_finished(connection: Connection, training_id: str) -> None:
    """Queue the event of a training whose row has its final state."""
    finished = rows.find(connection, training_id)
    request = finished.request
    data = {
        "tenant": request.tenant,
        "task": request.task,
        "alias": request.alias,
        "training": training_id,
        "state": finished.state,
        "result": finished.result,
        "error": finished.problem,
    }
    emit(connection, request.tenant, "training.finished", data)
