"""Inputs and results of tasks."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, TypeVar, overload

from polyprefix_client.conversion import from_json, named
from polyprefix_client.errors import ApiError, InvalidResponse

Input = str | Mapping[str, Any]
"""A text, or the fields of a task, optionally with a `model` of its own."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class InputUsage:
    """The tokens of one input, and whether its end was cut."""

    tokens: int
    truncated: bool
    windows: int | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """A label with its score."""

    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Rejection:
    """The score of a text under the rejection rule, and the cutoff below which it is rejected."""

    score: float
    cutoff: float


@dataclass(frozen=True, slots=True)
class ExplainedPart:
    """A part of a field, and the change of the logit without it."""

    field: str
    start: int
    end: int
    text: str
    change: float | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The parts of an input, and how the logit of a label changes without each."""

    method: str
    label: str
    logit: float
    grouped: bool
    parts: tuple[ExplainedPart, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _TaskResult:
    """The members of all results.

    Attributes:
        index: position of the input in its request.
        model: the version that answered, `tenant/task@version`.
        usage: tokens of the input. None from `embed`, whose route reports only their sum.
        request_id: id of the request. Together with `index`, it identifies the answer in feedback.
    """

    index: int
    model: str
    usage: InputUsage | None = None
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification(_TaskResult):
    """The labels of a text, or the `value` of a regression.

    Attributes:
        label: the best label of a single-label task; None if the task abstained.
        labels: the labels of a multi-label task that reach their threshold.
        scores: the highest first.
    """

    problem_type: str
    scores: tuple[Score, ...]
    label: str | None = None
    labels: tuple[str, ...] | None = None
    value: float | None = None
    abstained: bool | None = None
    reason: str | None = None
    level: int | None = None
    path: tuple[str, ...] | None = None
    rejection: Rejection | None = None
    explanation: Explanation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """A labeled span: the characters `start` to `end` of the text."""

    label: str = named("entity_group", "entity")
    text: str = named("word")
    score: float
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entities(_TaskResult):
    """The entities of a text, in its order."""

    entities: tuple[Entity, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A possible answer: the characters `start` to `end` of the context."""

    text: str = named("answer")
    score: float
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(_TaskResult):
    """The best answer. `text` is empty if the context has none. `answers` has the `top_k` best."""

    text: str = named("answer")
    score: float
    start: int
    end: int
    answers: tuple[Span, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice(_TaskResult):
    """The best of several choices: its position, its text, and the scores of all."""

    choice: int
    text: str
    scores: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding(_TaskResult):
    """The vector of a text."""

    vector: tuple[float, ...] = named("embedding")


Prediction = Classification | Entities | Answer | Choice | Embedding

_BY_TYPE: Final[Mapping[str, type[Prediction]]] = {
    "sequence_classification": Classification,
    "token_classification": Entities,
    "question_answering": Answer,
    "multiple_choice": Choice,
    "embedding": Embedding,
}


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds of a request: in total, in the queue, and on the device."""

    total: float
    queue: float
    device: float


@dataclass(frozen=True, slots=True)
class Results(Sequence[Result], Generic[Result]):
    """The results of one request, in the order of its inputs."""

    items: tuple[Result, ...]
    tokens: int
    timings: Timings | None
    request_id: str

    @overload
    def __getitem__(self, place: int) -> Result: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Result, ...]: ...
    def __getitem__(self, place: int | slice) -> Result | tuple[Result, ...]:
        return self.items[place]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Result]:
        return iter(self.items)


@dataclass(frozen=True, slots=True)
class FailedInput:
    """An input of a stream that the server rejected. `position` counts from 0 over all inputs."""

    position: int
    input: Input
    error: ApiError


def results_of(body: Any, request_id: str) -> Results[Prediction]:
    """Read the response of a task route.

    Raises:
        InvalidResponse: when it has another form.
    """
    try:
        found = tuple(_prediction(one, request_id) for one in body["results"])
        tokens, timings = int(body["usage"]["tokens"]), body["timings_ms"]
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidResponse(
            f"The response has no valid results: {error!r}. Check that the URL is that of a "
            "polyprefix server, and update the client."
        ) from error
    return Results(found, tokens, from_json(Timings, timings), request_id)


def _prediction(members: Mapping[str, Any], request_id: str) -> Prediction:
    return replace(from_json(_BY_TYPE[members["task_type"]], members), request_id=request_id)
