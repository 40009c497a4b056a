"""What the three classification routes share: references, bounds, deadline, cancellation."""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

from fastapi import Depends, Header, Request
from starlette.requests import ClientDisconnect

from prefixes import PrefixRef
from prefixes.errors import InputRejected, InvalidName
from prefixes.template import Fields
from server.api.deps import CallerDep, Parts, PartsDep, RecordDep
from server.auth import Caller
from server.engine.work import Inferred, TaskInput
from server.errors import ModelRequired, TooManyInputs, TooManyScores
from server.observe import RequestRecord

T = TypeVar("T")

MAX_SCORES: Final = 40_000
"""Most scores in one response: the largest request to a task of 150 labels, or a single input to
the largest task. Without it a request of a few bytes could ask for half a gigabyte."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One thing to classify, as the sender wrote it: fields, and a model of its own if any."""

    fields: Fields
    model: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Inference:
    """The way of one HTTP request through the engine."""

    request: Request
    parts: Parts
    caller: Caller
    record: RequestRecord
    timeout_seconds: float

    async def run(
        self,
        asked: Sequence[Asked],
        *,
        model: str | None,
        truncate: bool,
        top_k: int | None = None,
    ) -> list[Inferred]:
        """Classify, in the order asked, for as long as the sender is there.

        Raises:
            InputRejected: when there is nothing to classify.
            TooManyInputs: when there is too much.
            TooManyScores: when the answer would be too long; `top_k` of each input's count.
            ModelRequired: when an input has no model, nor the request, nor the settings.
            InvalidName: when a model is no reference.
            ClientDisconnect: when the sender left; the work was cancelled.
            PrefixError, ServingError: as `Engine.classify`.
        """
        limit = self.parts.settings.max_inputs_per_request
        if not asked:
            raise InputRejected("The list of inputs is empty: expected at least one")
        if len(asked) > limit:
            raise TooManyInputs(f"{len(asked)} inputs: one request takes at most {limit}")
        inputs = [
            TaskInput(self._ref(item.model or model, index, len(asked)), item.fields)
            for index, item in enumerate(asked)
        ]
        answers = await while_connected(
            self.request,
            self.parts.engine.infer(
                inputs,
                reader=self.caller.tenant,
                truncate=truncate,
                timeout_seconds=self.timeout_seconds,
            ),
        )
        self._note(answers)
        _check_num_scores(answers, top_k)
        return answers

    def _ref(self, model: str | None, index: int, num_asked: int) -> PrefixRef:
        name = model or self.parts.settings.default_model
        where = f"input[{index}]: " if num_asked > 1 else ""
        if name is None:
            raise ModelRequired(
                f'{where}no model is named: add "model": "tenant/task", or let the operator set '
                "POLYPREFIX_DEFAULT_MODEL; GET /v1/models lists what there is"
            )
        try:
            return PrefixRef.parse(name, default_tenant=self.caller.tenant)
        except InvalidName as error:
            raise InvalidName(f"{where}{error}") from error

    def _note(self, answers: Sequence[Inferred]) -> None:
        self.record.models = tuple(dict.fromkeys(str(answer.version) for answer in answers))
        self.record.num_inputs = len(answers)
        self.record.num_tokens = sum(answer.num_tokens for answer in answers)
        self.record.queue_ms = 1000 * max(a.timings.queue_seconds for a in answers)
        self.record.device_ms = 1000 * max(a.timings.device_seconds for a in answers)


def _check_num_scores(answers: Sequence[Inferred], top_k: int | None) -> None:
    counts = (answer.spec.num_labels for answer in answers)
    num_scores = sum(count if top_k is None else min(count, top_k) for count in counts)
    if num_scores > MAX_SCORES:
        raise TooManyScores(
            f"The answer would hold {num_scores} scores, at most {MAX_SCORES} fit: send fewer "
            "inputs at once, or ask POST /v1/classify for the best few with `top_k`"
        )


async def _inference(
    request: Request,
    parts: PartsDep,
    caller: CallerDep,
    record: RecordDep,
    x_timeout_ms: Annotated[
        int | None, Header(ge=1, le=10**9, description="Time in milliseconds for this answer.")
    ] = None,
) -> Inference:
    seconds = parts.settings.request_timeout_seconds
    if x_timeout_ms is not None:
        seconds = min(seconds, x_timeout_ms / 1000)
    return Inference(request, parts, caller, record, seconds)


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
