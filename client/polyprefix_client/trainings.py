"""Trainings on the server: their state, their events and their results."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from polyprefix_client.conversion import from_json
from polyprefix_client.errors import Problem

FINISHED: Final = frozenset({"succeeded", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The metrics of one evaluation."""

    step: int
    epoch: float
    train_loss: float | None
    loss: float | None
    metrics: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """How far a training is. Higher values of `metric` are better.

    Attributes:
        phase: `teacher` while a teacher is fine-tuned, `answers` while it answers rows, which are
            counted as steps, and `prefix` while the prefix is trained.
        teacher: the metric of the teacher on the validation rows.
    """

    step: int
    total_steps: int
    loss: float | None = None
    metric: str = ""
    latest: Evaluation | None = None
    best: Evaluation | None = None
    phase: str = "prefix"
    teacher: float | None = None


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """The version that a training published, and how it compares with the version that was live.

    Attributes:
        ref: the published version, `tenant/task@version`.
        is_promoted: whether the alias points to it.
        reason: why it does or does not.
    """

    ref: str
    version: int
    is_promoted: bool
    reason: str
    metric: str
    measured_on: str
    num_rows: int
    new: float | None
    live: float | None
    live_version: int | None
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Training:
    """A training. `result` is set once it has succeeded, `error` once it has failed."""

    id: str
    tenant: str
    task: str
    alias: str
    margin: float
    config: dict[str, Any]
    state: str
    is_cancelling: bool
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    data_summary: tuple[str, ...]
    warnings: tuple[str, ...]
    progress: TrainingProgress | None
    result: TrainingResult | None
    error: Problem | None

    @property
    def is_finished(self) -> bool:
        """Whether the training has succeeded, failed or been canceled."""
        return self.state in FINISHED

    @property
    def name(self) -> str:
        """The task, `tenant/task`."""
        return f"{self.tenant}/{self.task}"


@dataclass(frozen=True, slots=True)
class CheckedRows:
    """The result of a dry run of a training: how the rows were read, or its error.

    Attributes:
        method: how a training would learn, such as `few_shot` with few rows.
        parts: rows and labels of each part, as JSON.
        error: the problem with which a training would fail; `errors` names each invalid row.
    """

    task_type: str | None
    method: str | None
    parts: tuple[dict[str, Any], ...]
    data_summary: tuple[str, ...]
    warnings: tuple[str, ...]
    error: Problem | None


@dataclass(frozen=True, slots=True)
class TrainingEvent:
    """One event of a training.

    Attributes:
        kind: `data_summary`, `warnings`, `progress`, `evaluation` or `state`.
        members: the members of the event as JSON.
        id: the position, from which a stream of events can continue.
    """

    kind: str
    members: Mapping[str, Any]
    id: str = ""

    @property
    def progress(self) -> TrainingProgress | None:
        """The progress, for the kinds `progress` and `evaluation`."""
        is_progress = self.kind in {"progress", "evaluation"}
        return from_json(TrainingProgress, self.members) if is_progress else None

    @property
    def training(self) -> Training | None:
        """The training, for the kind `state`."""
        return from_json(Training, self.members) if self.kind == "state" else None

    @property
    def sentences(self) -> tuple[str, ...]:
        """The sentences, for the kinds `data_summary` and `warnings`."""
        return tuple(self.members.get(self.kind, ()))
