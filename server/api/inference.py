"""What all inference routes share: references, bounds, task types, deadline, cancellation."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final, Self, TypeVar

from fastapi import Depends, Header, Request
from starlette.requests import ClientDisconnect

from prefixes import PrefixRef
from prefixes.errors import InputRejected, InvalidName
from prefixes.registry import PrefixVersion
from prefixes.spec import TaskType
from prefixes.template import CHOICES, InputFields
from server.api.auth import Caller
from server.api.dependencies import CallerDep, RecordDep, ServicesDep
from server.api.scores import MAX_SCORES
from server.api.services import Services
from server.engine.values import InferenceResult, TaskInput
from server.errors import ModelRequired, TooManyInputs, TooManyScores, WrongTaskType
from server.observability.logs import RequestRecord

T = TypeVar("T")

ROUTES: Final[Mapping[TaskType, str]] = {
    "sequence_classification": "/v1/classify",
    "token_classification": "/v1/token-classification",
    "question_answering": "/v1/question-answering",
    "multiple_choice": "/v1/multiple-choice",
    "embedding": "/v1/embeddings",
}
"""Where tasks of each type are answered; POST /v1/predict answers them all."""

_INLINE_OUTPUTS: Final = 2048
_INLINE_TEXTS: Final = 16
"""Numbers and texts that are read on the event loop, in a few milliseconds. More go to a thread."""


@dataclass(frozen=True, slots=True)
class InputItem:
    """One input, as the sender wrote it: fields, and a model of its own if any."""

    fields: InputFields
    model: str | None = None

    @classmethod
    def of(cls, item: str | Mapping[str, str | list[str]]) -> Self:
        """Tell the model of an input from its fields.

        Raises:
            InvalidName: when the model is a list.
        """
        if isinstance(item, str):
            return cls((item,))
        model = item.get("model")
        if isinstance(model, list):
            raise InvalidName("The `model` of an input is a list: expected text")
        return cls({name: value for name, value in item.items() if name != "model"}, model)

    @property
    def num_texts(self) -> int:
        """Count the texts that it becomes at least."""
        choices = self.fields.get(CHOICES) if isinstance(self.fields, Mapping) else None
        return max(1, len(choices)) if isinstance(choices, list) else 1


@dataclass(frozen=True, slots=True, eq=False)
class Inference:
    """The way of one HTTP request through the engine."""

    request: Request
    services: Services
    caller: Caller
    record: RequestRecord
    timeout_seconds: float

    @classmethod
    def of_plain(cls, request: Request) -> Self | None:
        """Make it for a request with a known caller that says nothing of its time; else None."""
        if "x-timeout-ms" in request.headers:
            return None
        services: Services = request.app.state.services
        state = request.state
        return cls(
            request, services, state.caller, state.record, services.settings.request_timeout_seconds
        )

    async def find(self, model: str | None) -> PrefixVersion:
        """Find the version that a request's model stands for now.

        Raises:
            ModelRequired, InvalidName, PrefixNotFound: as `run`.
        """
        ref, reader = self._ref(model, 0, 1), self.caller.tenant
        known = self.services.registry.recall({ref}, reader=reader)
        if known is None:
            resolve = partial(self.services.registry.resolve, {ref}, reader=reader)
            known = await self.services.read(resolve)
        return known[ref]

    async def run(
        self,
        asked: Sequence[InputItem],
        *,
        model: str | None,
        truncate: bool,
        task_type: TaskType | None = None,
        top_k: int | None = None,
    ) -> list[InferenceResult]:
        """Answer, in the order asked, for as long as the sender is there.

        Args:
            asked: inputs of any tasks of the route's type.
            model: for those that name none.
            truncate: cut texts that are too long instead of refusing them.
            task_type: what the route answers; None for every type.
            top_k: scores of a label that the sender wants to see; None for all.

        Raises:
            InputRejected: when there is nothing to answer.
            TooManyInputs: when there is too much.
            WrongTaskType: when a task is not of the route's type.
            TooManyScores: when the answer would be too long; `top_k` of each input's count.
            ModelRequired: when an input has no model, nor the request, nor the settings.
            InvalidName: when a model is no reference.
            ClientDisconnect: when the sender left; the work was cancelled.
            PrefixError, ServingError: as `Engine.infer`.
        """
        limit = self.services.settings.max_inputs_per_request
        if not asked:
            raise InputRejected("The list of inputs is empty: expected at least one")
        num_texts = sum(item.num_texts for item in asked)
        if num_texts > limit:
            kind = "inputs" if num_texts == len(asked) else "choices"
            raise TooManyInputs(f"{num_texts} {kind}: one request takes at most {limit}")
        inputs = [
            TaskInput(self._ref(item.model or model, index, len(asked)), item.fields)
            for index, item in enumerate(asked)
        ]
        work = self.services.engine.infer(
            inputs,
            reader=self.caller.tenant,
            truncate=truncate,
            timeout_seconds=self.timeout_seconds,
            task_type=task_type,
        )
        try:
            answers = await while_connected(self.request, work)
        except WrongTaskType as error:
            raise _naming_the_right_route(error, inputs) from error
        self._note(answers)
        _check_num_scores(answers, top_k)
        return answers

    async def read(self, answers: Sequence[InferenceResult], reading: Callable[[], T]) -> T:
        """Turn answers into what is sent; on a thread when that takes long."""
        sizes = [outputs.size for answer in answers for outputs in answer.outputs]
        if len(sizes) <= _INLINE_TEXTS and sum(sizes) <= _INLINE_OUTPUTS:
            return reading()
        return await self.services.render(reading)

    def _ref(self, model: str | None, index: int, num_asked: int) -> PrefixRef:
        name = model or self.services.settings.default_model
        where = f"input[{index}]: " if num_asked > 1 else ""
        if name is None:
            raise ModelRequired(
                f'{where}no model is named: add "model": "tenant/task", or let the operator set '
                "POLYPREFIX_DEFAULT_MODEL; GET /v1/models lists what there is"
            )
        try:
            return PrefixRef.parse(name, default_tenant=self.caller.tenant)
        except InvalidName as error:
            # Who left out both key and tenant most likely forgot the key.
            keyless = self.caller.tenant is None and "/" not in name
            hint = "; the tenant may be left out only with its key" if keyless else ""
            raise InvalidName(f"{where}{error}{hint}") from error

    def _note(self, answers: Sequence[InferenceResult]) -> None:
        self.record.models = tuple(dict.fromkeys(str(answer.version) for answer in answers))
        self.record.num_inputs = len(answers)
        self.record.num_tokens = sum(answer.num_tokens for answer in answers)
        self.record.queue_ms = 1000 * max(a.timings.queue_seconds for a in answers)
        self.record.device_ms = 1000 * max(a.timings.device_seconds for a in answers)


def _naming_the_right_route(error: WrongTaskType, inputs: Sequence[TaskInput]) -> WrongTaskType:
    where = f"input[{error.place}]: " if len(inputs) > 1 else ""
    return WrongTaskType(
        f"{where}{inputs[error.place].ref} has the task type {error.task_type}, which this route "
        f"does not answer: send it to POST {ROUTES[error.task_type]}",
        place=error.place,
        task_type=error.task_type,
    )


def _check_num_scores(answers: Sequence[InferenceResult], top_k: int | None) -> None:
    counts = (
        answer.spec.num_labels
        for answer in answers
        if answer.spec.task_type == "sequence_classification"
    )
    num_scores = sum(count if top_k is None else min(count, top_k) for count in counts)
    if num_scores > MAX_SCORES:
        raise TooManyScores(
            f"The answer would hold {num_scores} scores, at most {MAX_SCORES} fit: send fewer "
            "inputs at once, or ask POST /v1/classify for the best few with `top_k`"
        )


async def _inference(
    request: Request,
    services: ServicesDep,
    caller: CallerDep,
    record: RecordDep,
    x_timeout_ms: Annotated[
        int | None, Header(ge=1, le=10**9, description="Time in milliseconds for this answer.")
    ] = None,
) -> Inference:
    seconds = services.settings.request_timeout_seconds
    if x_timeout_ms is not None:
        seconds = min(seconds, x_timeout_ms / 1000)
    return Inference(request, services, caller, record, seconds)


InferenceDep = Annotated[Inference, Depends(_inference)]


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Do the work, unless the sender disconnects first: then cancel it.

    The request's body must have been read.

    Raises:
        ClientDisconnect: when the sender left before the work was done.
    """
    task = asyncio.create_task(work)
    watch = asyncio.create_task(_until_disconnect(request))
    try:
        await asyncio.wait((task, watch), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        task.cancel()
        watch.cancel()
        await asyncio.gather(task, watch, return_exceptions=True)


async def _until_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
