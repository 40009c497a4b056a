"""Wire models of batch files."""

from typing import Any

from pydantic import AwareDatetime, Field

from prefixes.answers import RuleOptions
from prefixes.lengths import LengthOptions
from prefixes.spec import LongTextOption, MergeOption, StrideOption
from prefixes.values import Value
from server.api.results import OutputOptions
from server.api.schemas import ProblemBody, WireResponse
from server.api.task_requests import (
    AggregationOption,
    AnswerLengthOption,
    FunctionOption,
    LevelOption,
    MayHaveNoneOption,
    TopOption,
)
from server.batch_files.records import BatchFile, BatchState, FileFormat


class BatchOptions(Value):
    """The options of all rows: those of POST /v1/predict without explanations and rules."""

    truncate: bool = Field(
        default=True, description="Cut texts that are too long. False rejects them."
    )
    long_text: LongTextOption = None
    stride: StrideOption = None
    merge: MergeOption = None
    top_k: TopOption = None
    function_to_apply: FunctionOption = None
    aggregation_strategy: AggregationOption = "first"
    max_answer_len: AnswerLengthOption = None
    handle_impossible_answer: MayHaveNoneOption = None
    level: LevelOption = None

    @property
    def lengths(self) -> LengthOptions:
        """The handling of texts that are too long."""
        return LengthOptions(self.truncate, self.long_text, self.stride, self.merge)

    @property
    def rules(self) -> RuleOptions:
        """The rules of the rows: a level of labels, and nothing else."""
        return RuleOptions(level=self.level)

    @property
    def outputs(self) -> OutputOptions:
        """The options of the results."""
        return OutputOptions(
            top_k=self.top_k,
            function=self.function_to_apply,
            strategy=self.aggregation_strategy,
            max_answer_tokens=self.max_answer_len,
            may_have_none=self.handle_impossible_answer,
            rules=self.rules,
        )


class BatchQuery(BatchOptions):
    """The parameters of a new batch file."""

    model: str | None = Field(
        default=None,
        max_length=300,
        description="The prefix of rows that do not name one in `model`, as in POST /v1/predict.",
    )


class BatchLinks(WireResponse):
    self: str
    results: str
    cancel: str


class BatchStatus(WireResponse):
    id: str
    tenant: str
    model: str | None
    options: dict[str, Any] = Field(description="The options that were set.")
    format: FileFormat
    state: BatchState
    is_cancelling: bool
    created_at: AwareDatetime
    started_at: AwareDatetime | None
    ended_at: AwareDatetime | None
    num_rows: int | None = Field(description="Null until the rows are counted.")
    num_done: int = Field(description="Rows whose results can be downloaded.")
    num_failed: int = Field(description="Those of them that have an error.")
    result_bytes: int = Field(description="Size of the results so far.")
    error: ProblemBody | None = Field(description="Why the whole file failed.")
    links: BatchLinks


class BatchList(WireResponse):
    batches: list[BatchStatus]
    next: str | None = Field(description="Path of the next page; null on the last page.")


def status_of(batch: BatchFile) -> BatchStatus:
    """Describe a batch file."""
    request, done, path = batch.request, batch.checkpoint, path_of(batch)
    return BatchStatus(
        id=batch.id,
        tenant=request.tenant,
        model=request.model,
        options=dict(request.options),
        format=request.file_format,
        state=batch.state,
        is_cancelling=batch.is_cancelling,
        created_at=batch.created_at,
        started_at=batch.started_at,
        ended_at=batch.ended_at,
        num_rows=batch.num_rows,
        num_done=done.num_done,
        num_failed=done.num_failed,
        result_bytes=done.result_bytes,
        error=None if batch.problem is None else ProblemBody(**batch.problem),
        links=BatchLinks(self=path, results=f"{path}/results", cancel=f"{path}/cancel"),
    )


def path_of(batch: BatchFile) -> str:
    """Return the path of a batch file's own resource."""
    return f"/v1/batches/{batch.id}"
