"""The task types: one module and one definition for each."""

from typing import Any, Final, assert_never

from prefixes.spec import TaskType
from training.tasks.definition import Outputs, Piece, Scale, TaskDefinition
from training.tasks.embedding import Embedding
from training.tasks.multiple_choice import MultipleChoice
from training.tasks.question_answering import QuestionAnswering
from training.tasks.sequence_classification import SequenceClassification
from training.tasks.token_classification import TokenClassification

__all__ = ["Outputs", "Piece", "Scale", "TaskDefinition", "definition_of"]

_SEQUENCE_CLASSIFICATION: Final = SequenceClassification()
_MULTIPLE_CHOICE: Final = MultipleChoice()
_TOKEN_CLASSIFICATION: Final = TokenClassification()
_QUESTION_ANSWERING: Final = QuestionAnswering()
_EMBEDDING: Final = Embedding()


def definition_of(task_type: TaskType) -> TaskDefinition[Any]:
    """Return the definition of a task type. Definitions have no state: all trainings share them."""
    match task_type:
        case "sequence_classification":
            return _SEQUENCE_CLASSIFICATION
        case "multiple_choice":
            return _MULTIPLE_CHOICE
        case "token_classification":
            return _TOKEN_CLASSIFICATION
        case "question_answering":
            return _QUESTION_ANSWERING
        case "embedding":
            return _EMBEDDING
        case _:
            assert_never(task_type)
