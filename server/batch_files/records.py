"""BatchFile: a file of rows, and how many of them are answered, as the database keeps it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from prefixes.limits import Limits

BatchState = Literal["queued", "running", "succeeded", "failed", "cancelled"]
FileFormat = Literal["jsonl", "parquet"]

FINISHED: Final = frozenset[BatchState]({"succeeded", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """A tenant's request to answer a file.

    `model` is for rows that do not name one. `options` are those of the request, as JSON has them.
    `key_id` is the key of the request, whose limits apply, too.
    """

    tenant: str
    model: str | None
    options: Mapping[str, Any]
    file_format: FileFormat
    key_id: str | None = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The rows whose results are on the disk.

    The next row begins at `row_offset`: a byte of JSONL, or the number of a row of Parquet. Its
    result is written at byte `result_bytes`.
    """

    num_done: int = 0
    num_failed: int = 0
    row_offset: int = 0
    result_bytes: int = 0


@dataclass(frozen=True, slots=True)
class BatchFile:
    """One batch file.

    `num_rows` is None until they are counted, when it runs for the first time. `is_cancelling` is
    true from the request to cancel a running file until it has stopped. `problem` describes why
    the whole file failed. `holder` is the lease of the server that runs it. `is_taken_over` says
    that processes of an earlier holder may still use its folder.
    """

    id: str
    request: BatchRequest
    state: BatchState
    is_cancelling: bool
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    num_rows: int | None
    checkpoint: Checkpoint
    problem: Mapping[str, Any] | None
    holder: str | None = None
    is_taken_over: bool = False

    @property
    def is_finished(self) -> bool:
        return self.state in FINISHED


@dataclass(frozen=True, slots=True)
class RunningState:
    """Whether a running file must stop or pause, and the limits now."""

    is_cancelling: bool
    is_paused: bool
    limits: Limits
    key_limits: Limits
