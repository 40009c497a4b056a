"""A training as the server keeps it, and what it knows of those who train."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]

ENDED: Final = frozenset[JobState]({"succeeded", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Trainer:
    """What trains, told by the composition root, for the server imports none of it.

    `command` runs one training, with its folder's name behind it; `fields` has a JSON schema for
    each field of a configuration that a tenant may set; `problems` holds such fields together, and
    gives the field, or "" for several, and what is wrong; files of rows end in `suffixes`, but
    for those in `lacking`, which says what they need.
    """

    command: tuple[str, ...]
    fields: Mapping[str, Mapping[str, Any]]
    problems: Callable[[Mapping[str, Any]], Sequence[tuple[str, str]]]
    suffixes: tuple[str, ...]
    lacking: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What somebody asks for."""

    tenant: str
    task: str
    alias: str
    margin: float
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """One training. `problem` says why it failed, `result` what was published.

    `is_cancelling` is true once somebody has cancelled it, until it has ended.
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

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED
