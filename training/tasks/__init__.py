"""What is particular to each type of task: one module, and one object, for each."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from prefixes.spec import TaskType
from training.tasks.definition import Outputs, Piece, Scale, TaskKind
from training.tasks.embedding import Embedding
from training.tasks.multiple_choice import MultipleChoice
from training.tasks.question_answering import QuestionAnswering
from training.tasks.sequence_classification import SequenceClassification
from training.tasks.token_classification import TokenClassification

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
