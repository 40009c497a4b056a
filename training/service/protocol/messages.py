"""The files with which a server and a worker describe a job: the job itself and its outcome."""

import json
import math
import re
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

_HALF_OF_A_PAIR: Final = re.compile("[\ud800-\udfff]")


def _whole_characters(value: Any) -> Any:
    return _HALF_OF_A_PAIR.sub("\ufffd", value) if isinstance(value, str) else value


Text = Annotated[str, BeforeValidator(_whole_characters)]
"""May quote a tenant's rows, which may contain half of a surrogate pair."""


def _finite(value: float | None) -> float | None:
    return value if value is None or math.isfinite(value) else None


Figure = Annotated[float | None, AfterValidator(_finite)]
"""A measured number; None where it is not finite, which JSON cannot express."""


class _Message(BaseModel):
    """Ignores unknown members: another version of the program may have written the file."""

    model_config = ConfigDict(frozen=True)

    def to_json(self) -> str:
        return json.dumps(self.model_dump(), allow_nan=False)


class JobPlan(_Message):
    """The fields of a `TrainPlan` that the server sets. The worker validates the run."""

    runs: tuple[dict[str, Any]]
    backbone: str
    device: str
    linear_kernel: str = "auto"
    attention_kernel: str = "auto"


class Job(_Message):
    """A training, as the server describes it to its workers.

    `memory_share` limits the worker to a fraction of the memory of its GPU. `live_version` is the
    number of the version to compare with; the folder has its file if `has_live`. `kernel_cache` is
    the file with the server's choices of kernels.
    """

    plan: JobPlan
    memory_share: float | None
    num_threads: int
    live_version: int | None
    has_live: bool
    kernel_cache: str | None = None

    def to_json(self) -> str:
        """Write only what an earlier version would, unless the new members have values."""
        return json.dumps(self.model_dump(exclude_defaults=True), allow_nan=False)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a job.

        Raises:
            ValueError: when it is damaged.
        """
        return cls.model_validate(json.loads(data))


MeasuredOn = Literal["validation", "test", "cross_validation"]
"""The rows on which versions are compared."""


class Success(_Message):
    """A new prefix, compared with the live one on the same held-out rows.

    With `cross_validation`, the rows are those of a few-shot head, each measured with a head that
    did not see it; `num_rows` may be 0. `new` is None without rows. `live` is None without a live
    version, or if it cannot be measured on these rows.
    """

    is_success: Literal[True] = True
    metric: str
    measured_on: MeasuredOn
    num_rows: int
    new: Figure
    live: Figure
    warnings: list[Text]


class RowProblem(_Message):
    """A defect of a labeled row; `field` names its file and line."""

    field: Text
    message: Text


class Failure(_Message):
    """The reason why there is no prefix, written for the person who started the training."""

    is_success: Literal[False] = False
    code: str
    detail: Text
    errors: list[RowProblem]


JobOutcome = Success | Failure

_OUTCOME: Final[TypeAdapter[JobOutcome]] = TypeAdapter(
    Annotated[Success | Failure, Field(discriminator="is_success")]
)


def parse_outcome(data: bytes) -> JobOutcome:
    """Read an outcome.

    Raises:
        ValueError: when it is damaged.
    """
    return _OUTCOME.validate_python(json.loads(data))


class LabelCount(_Message):
    label: Text
    num_rows: int = Field(description="Of a token classification, the number of entities.")


class CheckedPart(_Message):
    name: Literal["train", "validation", "test", "unlabeled"]
    num_rows: int
    labels: list[LabelCount] = Field(
        description="Empty for tasks without labels, and for unlabeled rows."
    )


class RowCheck(_Message):
    """Rows that a training would accept."""

    is_success: Literal[True] = True
    task_type: str
    method: str = Field(description="How the training would learn from these rows.")
    parts: list[CheckedPart]
    data_summary: list[Text]
    warnings: list[Text]


_ROW_CHECK: Final[TypeAdapter[RowCheck | Failure]] = TypeAdapter(
    Annotated[RowCheck | Failure, Field(discriminator="is_success")]
)


def parse_row_check(data: bytes) -> RowCheck | Failure:
    """Read the outcome of a check of rows.

    Raises:
        ValueError: when it is damaged.
    """
    return _ROW_CHECK.validate_python(json.loads(data))
