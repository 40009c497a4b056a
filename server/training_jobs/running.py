"""RunningTrainings: the trainings that servers run, in the database.

A server claims a training with its lease. Only that server changes it from then on.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, select

from prefixes.limits import LimitSet
from prefixes.registry import Database
from prefixes.registry.tables import now, tenants, trainings
from server.training_jobs import rows
from server.training_jobs.endings import charge, emit_finished
from server.training_jobs.records import JobState, TrainingJob
from server.training_jobs.requeueing import requeue
from server.training_jobs.tenant_limits import add_cpu_time, find_next, has_cpu_time


class RunningTrainings:
    """Claims trainings, and changes them until they have finished. Safe to use from many threads.

    Methods that take a claimed training raise LeaseLost when another server may run it now. Every
    method raises StoreUnavailable when the database cannot be used.
    """

    def __init__(self, database: Database, default_limits: LimitSet) -> None:
        self._database = database
        self._default_limits = default_limits

    def claim(self, hold: Callable[[Connection], str]) -> TrainingJob | None:
        """Mark the first training of the queue that may run as running; None if none may.

        Trainings of suspended and deleted tenants stay queued. So do those of tenants that have
        reached a limit. `hold` returns the lease that holds it.
        """
        with self._database.read() as connection:
            if find_next(connection, self._default_limits) is None:
                return None  # most calls end here, and take no lock
        with self._database.write() as connection:
            found = find_next(connection, self._default_limits)
            if found is None:
                return None
            held = {"state": "running", "holder": hold(connection)}
            rows.change(connection, found, started_at=now(), **held)
            return rows.find(connection, found)

    def requeue(self, job: TrainingJob) -> None:
        """Put a claimed training back into the queue, unless its owner has cancelled it."""
        with self._changing(job) as connection:
            requeue(connection, job.id)

    def note_own_folder(self, job: TrainingJob) -> None:
        """Note that no process of an earlier holder can write to the folder any more."""
        with self._changing(job) as connection:
            rows.change(connection, job.id, is_taken_over=False)

    def note_crash(self, job: TrainingJob) -> int:
        """Count one more crash of a worker, and return how many there were."""
        with self._changing(job) as connection:
            rows.change(connection, job.id, num_crashes=trainings.c.num_crashes + 1)
            return rows.find(connection, job.id).num_crashes

    def is_cancelling(self, job: TrainingJob) -> bool:
        """Return whether somebody has cancelled a claimed training."""
        with self._database.read() as connection:
            rows.check_held(connection, job)
            return rows.find(connection, job.id).is_cancelling

    def add_cpu_time(self, job: TrainingJob, seconds: float) -> bool:
        """Count CPU time of a claimed training, and return whether its tenant may use more now."""
        with self._database.write_activity() as connection:
            rows.check_held(connection, job)  # otherwise another server counts it
            owner = tenants.c.name == job.request.tenant
            tenant_id = connection.scalar(select(tenants.c.id).where(owner))
            assert tenant_id is not None, "a tenant with a training is not purged"
            add_cpu_time(connection, tenant_id, seconds)
            return has_cpu_time(connection, tenant_id, self._default_limits)

    def finish(
        self,
        job: TrainingJob,
        state: JobState,
        *,
        problem: Mapping[str, Any] | None = None,
        result: Mapping[str, Any] | None = None,
        cpu_seconds: float = 0.0,
    ) -> None:
        """Mark a training as finished, and add its CPU time to the usage of its tenant and key."""
        with self._changing(job) as connection:
            charge(connection, job, cpu_seconds)
            rows.change(
                connection,
                job.id,
                state=state,
                holder=None,
                is_cancelling=False,
                ended_at=now(),
                problem=None if problem is None else json.dumps(problem),
                result=None if result is None else json.dumps(result),
            )
            emit_finished(connection, job.id)

    @contextmanager
    def _changing(self, job: TrainingJob) -> Iterator[Connection]:
        with self._database.write() as connection:
            rows.check_held(connection, job)
            yield connection
