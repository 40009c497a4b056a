"""Wire models of trainings."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from server.api.schemas import ProblemBody, WireResponse
from server.api.unicode_json import with_valid_unicode
from server.problems import Problem
from server.training_jobs.records import JobState, TrainingJob
from training.service.protocol.events import Event, Progress
from training.service.protocol.messages import CheckedPart, Failure, MeasuredOn, RowCheck

Shown = TypeVar("Shown", bound=BaseModel)

_log = logging.getLogger(__name__)


class Result(WireResponse):
    ref: str = Field(description="The published version.")
    version: int
    is_promoted: bool = Field(description="Whether the alias points to it now.")
    reason: str
    metric: str
    measured_on: MeasuredOn = Field(
        description="The rows. With cross_validation, those that a few-shot head was computed from."
    )
    num_rows: int
    new: float | None = Field(description="The metric of the new version.")
    live: float | None = Field(description="That of the live one, on the same rows.")
    live_version: int | None
    warnings: list[str] = Field(
        description="Warnings about the rows, the training and the comparison."
    )


class TrainingLinks(WireResponse):
    self: str
    events: str
    cancel: str
    report: str
    curve: str


class TrainingStatus(WireResponse):
    id: str
    tenant: str
    task: str
    alias: str
    margin: float
    config: dict[str, Any]
    state: JobState
    is_cancelling: bool
    created_at: AwareDatetime
    started_at: AwareDatetime | None
    ended_at: AwareDatetime | None
    data_summary: list[str] = Field(
        description="How each file was read: its rows, and the role of each column. Empty until "
        "then."
    )
    warnings: list[str] = Field(
        description="Warnings about the rows, once they are read. They stop nothing."
    )
    progress: Progress | None
    result: Result | None
    error: ProblemBody | None = Field(description="Why it failed, as a problem document.")
    links: TrainingLinks


class TrainingList(WireResponse):
    trainings: list[TrainingStatus]
    next: str | None = Field(description="Path of the next page; null on the last page.")


class CheckedTraining(WireResponse):
    """The result of a dry run: a description of the rows, or the error of a training."""

    task_type: str | None = Field(description="Null if the rows were rejected.")
    method: str | None = Field(
        description="How a training would learn: `few_shot` with few rows. Null if the rows were "
        "rejected."
    )
    parts: list[CheckedPart] = Field(description="Rows and labels of each part.")
    data_summary: list[str] = Field(description="How each file was read, one sentence each.")
    warnings: list[str] = Field(description="Warnings about the rows. They stop nothing.")
    error: ProblemBody | None = Field(
        description="The problem with which a training would fail, or null."
    )


def checked_training(outcome: RowCheck | Failure) -> CheckedTraining:
    """Describe the outcome of a check of rows."""
    if isinstance(outcome, RowCheck):
        members = outcome.model_dump(exclude={"is_success"})
        return CheckedTraining(**with_valid_unicode(members), error=None)
    problem = Problem(
        422,
        "The training would fail",
        outcome.code,
        outcome.detail,
        [problem.model_dump() for problem in outcome.errors],
    )
    return CheckedTraining(
        task_type=None,
        method=None,
        parts=[],
        data_summary=[],
        warnings=[],
        error=_optional(ProblemBody, problem.document()),
    )


def status_of(
    training: TrainingJob,
    last: Event | None = None,
    *,
    data_summary: Sequence[str] = (),
    warnings: Sequence[str] = (),
) -> TrainingStatus:
    """Describe a training.

    Args:
        training: the training.
        last: the last event that reports progress.
        data_summary: how the rows were read.
        warnings: the warnings about the rows.
    """
    request = training.request
    path = path_of(training)
    return TrainingStatus(
        id=training.id,
        tenant=request.tenant,
        task=request.task,
        alias=request.alias,
        margin=request.margin,
        config=with_valid_unicode(dict(request.config)),
        state=training.state,
        is_cancelling=training.is_cancelling,
        created_at=training.created_at,
        started_at=training.started_at,
        ended_at=training.ended_at,
        data_summary=with_valid_unicode(list(data_summary)),
        warnings=with_valid_unicode(list(warnings)),
        progress=_optional(Progress, None if last is None else last.members),
        result=_optional(Result, training.result),
        error=_optional(ProblemBody, training.problem),
        links=TrainingLinks(
            self=path,
            events=f"{path}/events",
            cancel=f"{path}/cancel",
            report=f"{path}/report",
            curve=f"{path}/curve.png",
        ),
    )


def path_of(training: TrainingJob) -> str:
    """Return the path of a training's own resource."""
    return f"/v1/tenants/{training.request.tenant}/trainings/{training.id}"


def _optional(kind: type[Shown], value: Mapping[str, Any] | None) -> Shown | None:
    """Parse a stored value; None where another release or a damaged file left one that fails."""
    try:
        return None if value is None else kind.model_validate(with_valid_unicode(dict(value)))
    except ValidationError as error:
        _log.warning("a stored %s cannot be shown: %s", kind.__name__, error)
        return None
