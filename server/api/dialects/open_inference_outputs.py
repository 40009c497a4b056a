"""Outputs of tasks as tensors of the Open Inference Protocol, and their descriptions.

The names of the columns of `scores` are an output, too: `labels`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, cast

import numpy as np
from pydantic_core import to_json

from prefixes import PrefixSpec
from prefixes.answers import ranked, rules_of, scored_names
from prefixes.errors import InputRejected
from prefixes.spec import TaskType
from server.api.dialects.open_inference_schemas import RequestedOutput, TensorMetadata
from server.api.dialects.open_inference_tensors import Tensor
from server.api.results import OutputOptions, results_of
from server.api.scores import probabilities
from server.api.task_results import (
    ClassifyResult,
    MultipleChoiceResult,
    QuestionAnsweringResult,
    TokenClassificationResult,
)
from server.engine.values import InferenceResult

_MULTI_LABEL: Final = "multi_label_classification"
_SINGLE_LABEL: Final = "single_label_classification"
_SCORES: Final = "scores"
_LABELS: Final = "labels"
_ANY: Final = -1


def tensors_of(answers: Sequence[InferenceResult]) -> list[Tensor]:
    """Return all outputs of inputs of one task. The first dimension is that of the inputs."""
    return _BY_TYPE[answers[0].spec.task_type](answers)


def output_metadata(spec: PrefixSpec) -> list[TensorMetadata]:
    """Describe the outputs of a task. The number of scores is -1 if it depends on the input."""
    return [
        TensorMetadata(name=name, datatype=datatype, shape=shape)
        for name, datatype, shape in _descriptions(spec)
    ]


def select(
    tensors: Sequence[Tensor], requested: Sequence[RequestedOutput] | None, *, is_binary: bool
) -> list[tuple[Tensor, bool]]:
    """Return the outputs that a request asks for, and whether each is sent in binary.

    `is_binary` is for those for which the request does not say it.

    Raises:
        InputRejected: when the task has no output of a name, or cannot rank it.
    """
    if not requested:
        return [(tensor, is_binary) for tensor in tensors]
    by_name = {tensor.name: tensor for tensor in tensors}
    if len({output.name for output in requested}) < len(requested):
        raise InputRejected(
            "The request has several outputs of the same name: expected each at most once. Remove "
            "the others."
        )
    selected = []
    for output in requested:
        if output.name not in by_name:
            known = ", ".join(by_name)
            raise InputRejected(
                f"The task has no output {output.name!r}. Its outputs are {known}. Ask for one."
            )
        tensor, options = by_name[output.name], output.parameters
        if options is not None and options.classification:
            tensor = _best_labels(tensor, by_name.get(_LABELS), options.classification)
        own = None if options is None else options.binary_data
        selected.append((tensor, is_binary if own is None else own))
    return selected


def _classification(answers: Sequence[InferenceResult]) -> list[Tensor]:
    first = answers[0]
    names = scored_names(first.spec, rules_of(first.spec, first.rules))
    scores = [probabilities(one, None, rules_of(one.spec, one.rules)) for one in answers]
    results = cast("list[ClassifyResult]", results_of(answers, OutputOptions()))
    tensors = [
        Tensor.of_numbers(_SCORES, "FP32", np.stack(scores)),
        Tensor.of_texts(_LABELS, names),
    ]
    if first.spec.problem_type == _SINGLE_LABEL:
        tensors.append(Tensor.of_texts("label", [result.label or "" for result in results]))
    if first.spec.problem_type == _MULTI_LABEL:
        selected = [[name in (result.labels or ()) for name in names] for result in results]
        tensors.append(Tensor.of_numbers("selected", "BOOL", np.array(selected)))
    return tensors


def _entities(answers: Sequence[InferenceResult]) -> list[Tensor]:
    results = cast("list[TokenClassificationResult]", results_of(answers, OutputOptions()))
    texts = [to_json(result.entities).decode() for result in results]
    return [Tensor.of_texts("entities", texts)]


def _answers(answers: Sequence[InferenceResult]) -> list[Tensor]:
    results = cast("list[QuestionAnsweringResult]", results_of(answers, OutputOptions()))
    return [
        Tensor.of_texts("answer", [result.answer for result in results]),
        Tensor.of_numbers("score", "FP32", np.array([result.score for result in results])),
        Tensor.of_numbers("start", "INT64", np.array([result.start for result in results])),
        Tensor.of_numbers("end", "INT64", np.array([result.end for result in results])),
    ]


def _choices(answers: Sequence[InferenceResult]) -> list[Tensor]:
    results = cast("list[MultipleChoiceResult]", results_of(answers, OutputOptions()))
    scores = np.array([result.scores for result in results])
    return [
        Tensor.of_numbers("choice", "INT64", np.array([result.choice for result in results])),
        Tensor.of_numbers(_SCORES, "FP32", scores),
    ]


def _embeddings(answers: Sequence[InferenceResult]) -> list[Tensor]:
    return [Tensor.of_numbers("embeddings", "FP32", np.stack([one.outputs[0] for one in answers]))]


_BY_TYPE: Final[Mapping[TaskType, Callable[[Sequence[InferenceResult]], list[Tensor]]]] = {
    "sequence_classification": _classification,
    "token_classification": _entities,
    "question_answering": _answers,
    "multiple_choice": _choices,
    "embedding": _embeddings,
}


def _descriptions(spec: PrefixSpec) -> list[tuple[str, str, list[int]]]:
    match spec.task_type:
        case "token_classification":
            return [("entities", "BYTES", [_ANY])]
        case "question_answering":
            numbers = [(name, "INT64", [_ANY]) for name in ("start", "end")]
            return [("answer", "BYTES", [_ANY]), ("score", "FP32", [_ANY]), *numbers]
        case "multiple_choice":
            return [("choice", "INT64", [_ANY]), (_SCORES, "FP32", [_ANY, _ANY])]
        case "embedding":
            return [("embeddings", "FP32", [_ANY, spec.num_outputs or spec.backbone.hidden_size])]
        case _:
            return _descriptions_of_labels(spec)


def _descriptions_of_labels(spec: PrefixSpec) -> list[tuple[str, str, list[int]]]:
    num_labels = len(scored_names(spec, rules_of(spec)))
    found = [(_SCORES, "FP32", [_ANY, num_labels]), (_LABELS, "BYTES", [num_labels])]
    if spec.problem_type == _SINGLE_LABEL:
        found.append(("label", "BYTES", [_ANY]))
    if spec.problem_type == _MULTI_LABEL:
        found.append(("selected", "BOOL", [_ANY, num_labels]))
    return found


def _best_labels(scores: Tensor, labels: Tensor | None, count: int) -> Tensor:
    """Rank the labels of each input, as texts `score:index:label` of Triton.

    Raises:
        InputRejected: when the output has no scores of labels.
    """
    if scores.name != _SCORES or labels is None or not isinstance(scores.values, np.ndarray):
        raise InputRejected(
            f"The output {scores.name!r} has no scores of labels, so `classification` does not "
            "apply to it. Omit the parameter."
        )
    names = [str(label) for label in labels.values]
    columns = {name: column for column, name in enumerate(names)}
    texts = [
        f"{score:f}:{columns[label]}:{label}"
        for row in scores.values
        for label, score in ranked(names, row, count)
    ]
    return Tensor(_SCORES, "BYTES", (len(scores.values), min(count, len(names))), texts)
