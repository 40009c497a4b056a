# Generated from _async/inference.py by generate_sync.py. Change that file instead.
"""Inference: runs tasks on one input, on several, or on a stream of any length."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal, TypeVar, Unpack, cast, overload

from polyprefix_client._sync.concurrency import run_in_order
from polyprefix_client._sync.transport import Transport
from polyprefix_client.errors import ApiError
from polyprefix_client.inputs import InputBatch, batches
from polyprefix_client.options import (
    AnswerOptions,
    ClassifyOptions,
    EntityOptions,
    LengthOptions,
    PredictOptions,
)
from polyprefix_client.predictions import (
    Answer,
    Choice,
    Classification,
    Embedding,
    Entities,
    FailedInput,
    Input,
    Prediction,
    Results,
    results_of,
)
from polyprefix_client.progress import Progress, ProgressCounter
from polyprefix_client.requests import Call, body_of, request_id_of
from polyprefix_client.vectors import embeddings_of

Result = TypeVar("Result")
Inputs = Input | Sequence[Input]

_ABOUT_INPUTS = frozenset({404, 413, 422, 500})
"""Statuses of errors that one input of a request may cause, so that the others may succeed."""


class Inference:
    """The calls that run tasks.

    All take one input and return its result, or take a sequence and return the results in order.
    `model` names the task for inputs without a `model` of their own.
    """

    _transport: Transport

    @overload
    def predict(  # type: ignore[overload-overlap]  # a text is a sequence of texts, too
        self, inputs: Input, *, model: str | None = None, **options: Unpack[PredictOptions]
    ) -> Prediction: ...
    @overload
    def predict(
        self,
        inputs: Sequence[Input],
        *,
        model: str | None = None,
        **options: Unpack[PredictOptions],
    ) -> Results[Prediction]: ...
    def predict(
        self, inputs: Inputs, *, model: str | None = None, **options: Unpack[PredictOptions]
    ) -> Prediction | Results[Prediction]:
        """Run tasks of any types. The result of each input has the class of its task type."""
        return _like(inputs, self._results("/v1/predict", inputs, model, options))

    @overload
    def classify(  # type: ignore[overload-overlap]  # a text is a sequence of texts, too
        self, inputs: Input, *, model: str | None = None, **options: Unpack[ClassifyOptions]
    ) -> Classification: ...
    @overload
    def classify(
        self,
        inputs: Sequence[Input],
        *,
        model: str | None = None,
        **options: Unpack[ClassifyOptions],
    ) -> Results[Classification]: ...
    def classify(
        self, inputs: Inputs, *, model: str | None = None, **options: Unpack[ClassifyOptions]
    ) -> Classification | Results[Classification]:
        """Classify texts."""
        found = self._results("/v1/classify", inputs, model, options)
        return _like(inputs, cast("Results[Classification]", found))

    @overload
    def find_entities(  # type: ignore[overload-overlap]  # a text is a sequence of texts, too
        self, inputs: Input, *, model: str | None = None, **options: Unpack[EntityOptions]
    ) -> Entities: ...
    @overload
    def find_entities(
        self,
        inputs: Sequence[Input],
        *,
        model: str | None = None,
        **options: Unpack[EntityOptions],
    ) -> Results[Entities]: ...
    def find_entities(
        self, inputs: Inputs, *, model: str | None = None, **options: Unpack[EntityOptions]
    ) -> Entities | Results[Entities]:
        """Find the entities of texts."""
        found = self._results("/v1/token-classification", inputs, model, options)
        return _like(inputs, cast("Results[Entities]", found))

    def answer(
        self,
        question: str,
        context: str,
        *,
        model: str | None = None,
        **options: Unpack[AnswerOptions],
    ) -> Answer:
        """Find the answer to a question in a context."""
        asked = {"question": question, "context": context}
        found = self._results("/v1/question-answering", asked, model, options)
        return cast("Answer", found[0])

    def choose(
        self,
        fields: Mapping[str, Any],
        choices: Sequence[str],
        *,
        model: str | None = None,
        truncate: bool = True,
    ) -> Choice:
        """Select the best of several choices.

        Args:
            fields: the other fields of the task, such as `{"premise": "..."}`.
            choices: the texts to choose from.
            model: the task.
            truncate: whether to cut texts that are too long.
        """
        asked = {**fields, "choices": list(choices)}
        options = {"truncate": truncate}
        found = self._results("/v1/multiple-choice", asked, model, options)
        return cast("Choice", found[0])

    @overload
    def embed(  # type: ignore[overload-overlap]  # a text is a sequence of texts, too
        self, inputs: str, *, model: str | None = None, **options: Unpack[LengthOptions]
    ) -> Embedding: ...
    @overload
    def embed(
        self,
        inputs: Sequence[str],
        *,
        model: str | None = None,
        **options: Unpack[LengthOptions],
    ) -> Results[Embedding]: ...
    def embed(
        self,
        inputs: str | Sequence[str],
        *,
        model: str | None = None,
        **options: Unpack[LengthOptions],
    ) -> Embedding | Results[Embedding]:
        """Compute the vectors of texts. Unlike other calls, it rejects texts that are too long."""
        texts = [inputs] if isinstance(inputs, str) else list(inputs)
        body = {"input": texts, "encoding_format": "base64", **options}
        response = self._post("/v1/embeddings", body, model)
        return _like(inputs, embeddings_of(response[0], response[1]))

    def predict_all(
        self,
        inputs: Iterable[Input],
        *,
        model: str | None = None,
        batch_size: int = 64,
        concurrency: int = 4,
        on_error: Literal["raise", "yield"] = "raise",
        on_progress: Callable[[Progress], object] | None = None,
        **options: Unpack[PredictOptions],
    ) -> Iterator[Prediction | FailedInput]:
        """Run tasks on an iterable of any length, and yield the results in its order.

        Inputs are read as they are needed. A batch that the server finds too large is split.

        Args:
            inputs: the inputs, such as those of `read_inputs`.
            model: the task for inputs without a `model` of their own.
            batch_size: maximum number of inputs in a request.
            concurrency: maximum number of requests in flight.
            on_error: `raise` ends the stream at the first input that the server rejects. `yield`
                gives a `FailedInput` in its place. Other errors end the stream in any case.
            on_progress: called after each batch.
            options: options of `predict`.
        """
        counter = ProgressCounter(on_progress)
        run = partial(self._outcomes, model=model, options=options, on_error=on_error)
        for outcomes, tokens in run_in_order(run, batches(inputs, batch_size), limit=concurrency):
            num_failed = sum(isinstance(one, FailedInput) for one in outcomes)
            counter.add(done=len(outcomes), failed=num_failed, tokens=tokens)
            for one in outcomes:
                yield one

    def _outcomes(
        self,
        batch: InputBatch,
        *,
        model: str | None,
        options: Mapping[str, Any],
        on_error: Literal["raise", "yield"],
    ) -> tuple[Sequence[Prediction | FailedInput], int]:
        """Return the outcomes of a batch and its tokens; a batch that fails is split in halves."""
        try:
            found = self._results("/v1/predict", batch.inputs, model, options)
        except ApiError as error:
            if error.status not in _ABOUT_INPUTS:
                raise
            if len(batch.inputs) == 1:
                if on_error == "raise":
                    error.add_note(f"The input is number {batch.start}, counted from 0.")
                    raise
                return [FailedInput(batch.start, batch.inputs[0], error)], 0
        else:
            return found.items, found.tokens
        halves = [
            self._outcomes(half, model=model, options=options, on_error=on_error)
            for half in batch.halves()
        ]
        return [one for half, _ in halves for one in half], sum(tokens for _, tokens in halves)

    def _results(
        self, path: str, inputs: Inputs, model: str | None, options: Mapping[str, Any]
    ) -> Results[Prediction]:
        items = [inputs] if isinstance(inputs, str | Mapping) else list(inputs)
        body, request_id = self._post(path, {"input": items, **options}, model)
        return results_of(body, request_id)

    def _post(self, path: str, body: Mapping[str, Any], model: str | None) -> tuple[Any, str]:
        """Send an inference request; return the body and the id of the response."""
        named = body if model is None else {"model": model, **body}
        call = Call("POST", path, json=named, is_idempotent=True, limits_server=True)
        response = self._transport.send(call)
        return body_of(response), request_id_of(response)


def _like(inputs: Inputs, results: Results[Result]) -> Result | Results[Result]:
    """Return the only result for one input, or the results of a sequence."""
    return results[0] if isinstance(inputs, str | Mapping) else results
