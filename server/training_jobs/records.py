"""TrainingJob: a training as the database keeps it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]

FINISHED: Final = frozenset[JobState]({"succeeded", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A tenant's request to train. `config` has the fields of `TenantConfig` as they were sent."""

    tenant: str
    task: str
    alias: str
    margin: float
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """One training. `problem` describes a failure, `result` the published version.

    `is_cancelling` is true from the request to cancel a running training until it has finished.
    `holder` is the lease of the server that runs it. `is_taken_over` says that processes of an
    earlier holder may still use its folder. `key_id` is the key that started it.
    """

    id: str
    request: JobRequest
    state: JobState
    is_cancelling: bool
    num_crashes: int
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    problem: Mapping[str, Any] | None
    result: Mapping[str, Any] | None
    holder: str | None = None
    is_taken_over: bool = False
    key_id: str | None = None

    @property
    def is_finished(self) -> bool:
        return self.state in FINISHED
