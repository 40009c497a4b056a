"""The heads that AdapterHub saves with an adapter: transformers' own, or flexible ones.

Source: adapters, `heads/base.py` and `head_utils.py`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from prefixes.backbone import Backbone
from prefixes.interop.assembly import meaningful_labels
from prefixes.interop.claims import check_claims
from prefixes.interop.errors import ConversionRefused
from prefixes.interop.folder import Tensors
from prefixes.interop.heads import (
    ForeignHead,
    activation_of,
    layer,
    recognize_head,
    require_pooler,
)
from prefixes.spec import HeadSpec, Pooling, ProblemType, TaskType, traits_of

HEAD_CONFIG: Final = "head_config.json"

_HEAD_TENSOR: Final = re.compile(r"heads\.(.+)\.(\d+)\.(?:weight|bias)")
_CLASS: Final = re.compile(r"\w+For(\w+)")
_CLASS_TASKS: Final[dict[str, TaskType]] = {
    "SequenceClassification": "sequence_classification",
    "TokenClassification": "token_classification",
    "QuestionAnswering": "question_answering",
    "MultipleChoice": "multiple_choice",
}
_HEAD_TASKS: Final[dict[str, TaskType]] = {
    "classification": "sequence_classification",
    "multilabel_classification": "sequence_classification",
    "tagging": "token_classification",
    "question_answering": "question_answering",
    "multiple_choice": "multiple_choice",
}


@dataclass(frozen=True, slots=True)
class AdapterHubHead:
    """A head, and the facts about the task in its settings."""

    task_type: TaskType
    head: ForeignHead
    problem_type: ProblemType | None
    labels: tuple[str, ...] | None


def adapterhub_head(
    config: Mapping[str, Any], tensors: Tensors, backbone: Backbone
) -> AdapterHubHead:
    """Read the head that was saved with an adapter.

    Args:
        config: content of `head_config.json`.
        tensors: weights of the head.
        backbone: the encoder that the adapter belongs to.

    Raises:
        ConversionRefused: when the head is unknown.
    """
    described = config.get("config")
    if isinstance(described, dict):
        return _flexible_head(described, tensors, backbone)
    found = _CLASS.fullmatch(str(config.get("model_class")))
    if found is None or found[1] not in _CLASS_TASKS:
        raise ConversionRefused(
            f"{HEAD_CONFIG} names the class {str(config.get('model_class'))[:100]!r}: expected "
            f"one for {', '.join(_CLASS_TASKS)}"
        )
    task_type = _CLASS_TASKS[found[1]]
    return AdapterHubHead(
        task_type, recognize_head(tensors, task_type, backbone), None, _labels(config)
    )


def _flexible_head(
    described: Mapping[str, Any], tensors: Tensors, backbone: Backbone
) -> AdapterHubHead:
    """Read a flexible head of AdapterHub: one or two layers, with an activation between them."""
    kind = str(described.get("head_type"))
    if kind not in _HEAD_TASKS:
        raise ConversionRefused(
            f"{HEAD_CONFIG} has head_type {kind[:60]}: expected one of {', '.join(_HEAD_TASKS)}"
        )
    task_type = _HEAD_TASKS[kind]
    sources = sorted(
        {(int(found[2]), f"heads.{found[1]}.{found[2]}") for found in map(_matched, tensors)}
    )
    if len(sources) not in {1, 2} or len(sources) != described.get("layers"):
        raise ConversionRefused(
            f"The head has {len(sources)} layers, {HEAD_CONFIG} says "
            f"{str(described.get('layers'))[:20]}: expected one or two, and the same number"
        )
    spec = HeadSpec(
        pooling=_pooling(task_type, described, backbone),
        activation=activation_of(described.get("activation_function"))
        if len(sources) == 2
        else None,
    )
    names = ("dense", "output")[-len(sources) :]
    layers = {
        key: tensor
        for name, (_, source) in zip(names, sources, strict=True)
        for key, tensor in layer(tensors, source, name).items()
    }
    if traits_of(task_type).has_labels:
        check_claims(HEAD_CONFIG, described, {"num_labels": len(layers["output.weight"])})
    multi: ProblemType | None = (
        "multi_label_classification" if kind == "multilabel_classification" else None
    )
    return AdapterHubHead(task_type, ForeignHead(spec, layers), multi, _labels(described))


def _matched(name: str) -> re.Match[str]:
    found = _HEAD_TENSOR.fullmatch(name)
    if found is None:
        raise ConversionRefused(
            f"The head has the tensor {name[:200]!r}: expected linear layers only"
        )
    return found


def _pooling(task_type: TaskType, described: Mapping[str, Any], backbone: Backbone) -> Pooling:
    if traits_of(task_type).is_per_token:
        return "every_token"
    if not described.get("use_pooler"):
        return "first_token"
    require_pooler(backbone)
    return "pooler"


def _labels(described: Mapping[str, Any]) -> tuple[str, ...] | None:
    numbers = described.get("label2id")
    if not isinstance(numbers, dict):
        return None
    return meaningful_labels({str(number): name for name, number in numbers.items()})
