"""What is particular to each type of task: one module, and one object, for each."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from prefixes.spec import TaskType
from training.tasks.answering import QuestionAnswering
from training.tasks.choices import MultipleChoice
from training.tasks.embedding import Embedding
from training.tasks.kind import Outputs, Piece, Scale, TaskKind
from training.tasks.sequences import SequenceClassification
from training.tasks.tagging import TokenClassification

__all__ = ["KINDS", "Outputs", "Piece", "Scale", "TaskKind"]

KINDS: Final[Mapping[TaskType, TaskKind[Any]]] = MappingProxyType(
    {
        "sequence_classification": SequenceClassification(),
        "multiple_choice": MultipleChoice(),
        "token_classification": TokenClassification(),
        "question_answering": QuestionAnswering(),
        "embedding": Embedding(),
    }
)
