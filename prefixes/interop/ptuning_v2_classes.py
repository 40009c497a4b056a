"""The model classes of the original P-tuning v2, recognized by name or by their tensors."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from prefixes.interop.errors import ConversionRefused
from prefixes.interop.folder import Tensors
from prefixes.interop.heads import take
from prefixes.spec import Method, TaskType

MODEL_TYPES: Final = {
    "Bert": "bert",
    "Roberta": "roberta",
    "Deberta": "deberta",
    "DebertaV2": "deberta-v2",
}

_CLASS: Final = re.compile(r"(Bert|Roberta|Deberta|DebertaV2)(Prefix|Prompt)(?:Model)?For(\w+)")
_TASK_TYPES: Final[dict[str, TaskType]] = {
    "SequenceClassification": "sequence_classification",
    "TokenClassification": "token_classification",
    "QuestionAnswering": "question_answering",
    "MultipleChoice": "multiple_choice",
}


@dataclass(frozen=True, slots=True)
class OriginalClass:
    """The facts in the name of one of the original's model classes."""

    model_type: str
    task_type: TaskType
    method: Method

    @property
    def scope(self) -> str:
        """The prefix of the names of the backbone's weights."""
        return "deberta." if self.model_type == "deberta-v2" else f"{self.model_type}."


def architectures(config: Mapping[str, Any]) -> list[Any]:
    """Return the names of the classes in a config."""
    names = config.get("architectures")
    return names if isinstance(names, list) else []


def original_class(config: Mapping[str, Any], tensors: Tensors) -> OriginalClass:
    """Recognize the class by its name in the config, or without a name by the tensors.

    Raises:
        ConversionRefused: when the class is unknown, or the tensors fit several.
    """
    names = architectures(config)
    if not names:
        return _class_by_tensors(config, tensors)
    found = _CLASS.fullmatch(str(names[0]))
    if found is None or found[3] not in _TASK_TYPES:
        raise ConversionRefused(
            f"config.json names the architecture {str(names[0])[:100]!r}: expected a class of "
            "P-tuning v2 such as BertPrefixForSequenceClassification"
        )
    method: Method = "prefix" if found[2] == "Prefix" else "prompt"
    return OriginalClass(MODEL_TYPES[found[1]], _TASK_TYPES[found[3]], method)


def _class_by_tensors(config: Mapping[str, Any], tensors: Tensors) -> OriginalClass:
    model_type = str(config.get("model_type"))
    if model_type not in MODEL_TYPES.values():
        raise ConversionRefused(
            f"config.json has model_type {model_type[:60]!r}: expected one of "
            f"{', '.join(MODEL_TYPES.values())}"
        )
    method: Method = "prompt" if "prefix_encoder.weight" in tensors else "prefix"
    if "qa_outputs.weight" in tensors:
        return OriginalClass(model_type, "question_answering", method)
    if not any(name.endswith("pooler.dense.weight") for name in tensors):
        if not any(".embeddings." in name for name in tensors):
            raise ConversionRefused(
                "A prefix with its head alone may belong to sequence_classification or to "
                "token_classification: set architectures in config.json to the name of the class"
            )
        return OriginalClass(model_type, "token_classification", method)
    if len(take(tensors, "classifier.weight")) == 1 and config.get("problem_type") != "regression":
        raise ConversionRefused(
            "A head with one output may belong to multiple_choice or to a regression: set "
            "architectures in config.json to the name of the class"
        )
    return OriginalClass(model_type, "sequence_classification", method)
