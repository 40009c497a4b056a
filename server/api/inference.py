"""Runs the inference of all routes: references, limits, task types, deadline, cancellation."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final, Self, TypeVar

from fastapi import Depends, Header, Request

from prefixes import PrefixRef
from prefixes.answers import NO_RULES, RuleOptions
from prefixes.errors import InputRejected, InvalidName
from prefixes.lengths import LengthOptions
from prefixes.occlusion import OcclusionOptions
from prefixes.registry import PrefixVersion
from prefixes.spec import TaskType
from prefixes.template import CHOICES, InputFields
from server.api.auth import Caller
from server.api.dependencies import CallerDep, RecordDep, ServicesDep
from server.api.disconnection import while_connected
from server.api.scores import MAX_SCORES
from server.api.services import Services
from server.api.stages import stages_of
from server.engine.values import InferenceResponse, InferenceResult, Recording, TaskInput
from server.errors import ModelRequired, TooManyInputs, TooManyScores, WrongTaskType
from server.limits.allowance import Allowance
from server.observability.logs import RequestRecord

T = TypeVar("T")

ROUTES: Final[Mapping[TaskType, str]] = {
    "sequence_classification": "/v1/classify",
    "token_classification": "/v1/token-classification",
    "question_answering": "/v1/question-answering",
    "multiple_choice": "/v1/multiple-choice",
    "embedding": "/v1/embeddings",
}
"""The route of each task type. POST /v1/predict serves all of them."""

_INLINE_OUTPUTS: Final = 2048
_INLINE_TEXTS: Final = 16
"""Maximum numbers of values and texts to render on the event loop, in a few milliseconds. Larger
results are rendered on a thread."""


@dataclass(frozen=True, slots=True)
class InputItem:
    """One input as its sender wrote it: its fields, and its own model if it has one."""

    fields: InputFields
    model: str | None = None

    @classmethod
    def of(cls, item: str | Mapping[str, str | list[str]]) -> Self:
        """Split an input into its model and its fields.

        Raises:
            InvalidName: when the model is a list.
        """
        if isinstance(item, str):
            return cls((item,))
        model = item.get("model")
        if isinstance(model, list):
            raise InvalidName("The `model` of an input must be a text; found a list.")
        return cls({name: value for name, value in item.items() if name != "model"}, model)

    @property
    def num_texts(self) -> int:
        """The minimum number of texts that the input becomes."""
        choices = self.fields.get(CHOICES) if isinstance(self.fields, Mapping) else None
        return max(1, len(choices)) if isinstance(choices, list) else 1


@dataclass(frozen=True, slots=True, eq=False)
class Inference:
    """The inference of one HTTP request: who asks, for how long, and what the log line reports.

    `routing_key` decides whether the canary of an alias answers.
    """

    request: Request
    services: Services
    caller: Caller
    record: RequestRecord
    timeout_seconds: float
    routing_key: str | None

    @classmethod
    def of_plain(cls, request: Request) -> Self | None:
        """Build it from an authenticated request, or return None for one with its own timeout."""
        if "x-timeout-ms" in request.headers:
            return None
        services: Services = request.app.state.services
        state = request.state
        return cls(
            request,
            services,
            state.caller,
            state.record,
            services.settings.request_timeout_seconds,
            _routing_key(request.headers.get("x-canary-key"), state.caller),
        )

    async def find(self, model: str | None) -> PrefixVersion:
        """Resolve the model of a request to the version that answers the caller now.

        Raises:
            ModelRequired, InvalidName, PrefixNotFound: as `run`.
        """
        ref, reader = self._ref(model, 0, 1), self.caller.tenant
        known = self.services.registry.recall({ref}, reader=reader)
        if known is None:
            resolve = partial(self.services.registry.resolve, {ref}, reader=reader)
            known = await self.services.read(resolve)
        return known[ref].version_for(self.routing_key)

    async def run(
        self,
        items: Sequence[InputItem],
        *,
        model: str | None,
        lengths: LengthOptions,
        task_type: TaskType | None = None,
        top_k: int | None = None,
        explain: OcclusionOptions | None = None,
        rules: RuleOptions = NO_RULES,
    ) -> list[InferenceResult]:
        """Run the inputs, and return their results in the same order.

        Args:
            items: inputs of any tasks of the route's type.
            model: the model of inputs that do not name one.
            lengths: the handling of texts that are too long.
            task_type: the task type of the route; None for every type.
            top_k: maximum number of scores of each input in the response; None for all.
            explain: explain the inputs that are classified; None explains none.
            rules: the rules of the request, which its results apply.

        Raises:
            InputRejected: when there are no inputs.
            TooManyInputs: when there are more than the server accepts.
            WrongTaskType: when a task is not of the route's type.
            TooManyScores: when the response would have too many scores.
            ModelRequired: when neither an input, the request nor the settings name a model.
            InvalidName: when a model is not a valid reference.
            ClientDisconnect: when the sender disconnected. The work is canceled.
            PrefixError, ServingError: as `Engine.infer`.
        """
        _check_num_texts(items, self.services.settings.max_inputs_per_request)
        inputs = [
            TaskInput(self._ref(item.model or model, index, len(items)), item.fields)
            for index, item in enumerate(items)
        ]
        work = self.services.engine.infer(
            inputs,
            reader=self.caller.tenant,
            lengths=lengths,
            timeout_seconds=self.timeout_seconds,
            task_type=task_type,
            allowance=Allowance.of(self.caller.identity, self.services.anonymous_limits),
            routing_key=self.routing_key,
            recording=Recording.of(self.caller.identity, self.record.request_id),
            explain=explain,
            rules=rules,
        )
        response = await self._response(inputs, work)
        self.request.state.rates = response.rates
        answers = response.results
        self._record_usage(answers)
        _check_num_scores(answers, top_k)
        return answers

    async def render(self, answers: Sequence[InferenceResult], build: Callable[[], T]) -> T:
        """Build the content of the response; on a thread when that takes long."""
        sizes = [outputs.size for answer in answers for outputs in answer.outputs]
        if len(sizes) <= _INLINE_TEXTS and sum(sizes) <= _INLINE_OUTPUTS:
            return build()
        return await self.services.render(build)

    async def _response(
        self, inputs: Sequence[TaskInput], work: Coroutine[Any, Any, InferenceResponse]
    ) -> InferenceResponse:
        """Await the engine. The log line of a request that fails reports its inputs."""
        try:
            return await while_connected(self.request, work)
        except Exception as error:
            self.record.models = tuple(dict.fromkeys(str(item.ref) for item in inputs))
            self.record.num_inputs = len(inputs)
            if isinstance(error, WrongTaskType):
                raise _with_route(error, inputs) from error
            if isinstance(error, InputRejected):
                raise error.among(len(inputs)) from None
            raise

    def _ref(self, model: str | None, index: int, num_items: int) -> PrefixRef:
        name = model or self.services.settings.default_model
        where = f"input[{index}]: " if num_items > 1 else ""
        if name is None:
            raise ModelRequired(
                f'{where}`model` is missing, and the server has no default model. Add "model": '
                '"tenant/task". GET /v1/models lists the models.'
            )
        try:
            return PrefixRef.parse(name, default_tenant=self.caller.tenant)
        except InvalidName as error:
            # A caller who omits both key and tenant probably forgot the key.
            keyless = self.caller.tenant is None and "/" not in name
            hint = ", or send the API key of the tenant to omit its name" if keyless else ""
            raise InvalidName(f"{where}{error}{hint}") from error

    def _record_usage(self, answers: Sequence[InferenceResult]) -> None:
        self.record.models = tuple(dict.fromkeys(str(answer.version) for answer in answers))
        self.record.num_inputs = len(answers)
        self.record.num_tokens = sum(answer.num_tokens for answer in answers)
        self.record.queue_ms = 1000 * max(a.timings.queue_seconds for a in answers)
        self.record.device_ms = 1000 * max(a.timings.device_seconds for a in answers)
        if self.record.trace is not None and self.record.trace.is_recording:
            self.record.trace.add(stages_of(answers))


def _check_num_texts(items: Sequence[InputItem], limit: int) -> None:
    if not items:
        raise InputRejected("The list of inputs is empty. Send at least one input.")
    num_texts = sum(item.num_texts for item in items)
    if num_texts > limit:
        kind = "inputs" if num_texts == len(items) else "choices"
        raise TooManyInputs(
            f"The request has {num_texts} {kind}; at most {limit} are allowed. Split it."
        )


def _with_route(error: WrongTaskType, inputs: Sequence[TaskInput]) -> WrongTaskType:
    where = f"input[{error.place}]: " if len(inputs) > 1 else ""
    return WrongTaskType(
        f"{where}the task type of {inputs[error.place].ref} is {error.task_type}, which this route "
        f"does not serve. Send it to POST {ROUTES[error.task_type]}.",
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
            f"The response would have {num_scores} scores; the maximum is {MAX_SCORES}. Send fewer "
            "inputs, or limit the scores of each with `top_k` of POST /v1/classify."
        )


def _routing_key(header: str | None, caller: Caller) -> str | None:
    """Return what keeps a caller at one version of a canary: its header, or else its API key."""
    return header or (None if caller.identity is None else caller.identity.key_id)


async def _inference(  # noqa: PLR0917 - FastAPI passes all by name
    request: Request,
    services: ServicesDep,
    caller: CallerDep,
    record: RecordDep,
    x_timeout_ms: Annotated[
        int | None,
        Header(ge=1, le=10**9, description="Maximum time for this request, in milliseconds."),
    ] = None,
    x_canary_key: Annotated[
        str | None,
        Header(
            description="A name of the end user or session. If an alias has a canary, requests "
            "with the same name get the same version. Default: the API key."
        ),
    ] = None,
) -> Inference:
    seconds = services.settings.request_timeout_seconds
    if x_timeout_ms is not None:
        seconds = min(seconds, x_timeout_ms / 1000)
    routing_key = _routing_key(x_canary_key, caller)
    return Inference(request, services, caller, record, seconds, routing_key)


InferenceDep = Annotated[Inference, Depends(_inference)]
