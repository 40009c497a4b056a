"""The task types, and what each requires of the description of its prefixes."""

from dataclasses import dataclass
from typing import Literal, assert_never

TaskType = Literal[
    "sequence_classification",
    "multiple_choice",
    "token_classification",
    "question_answering",
    "embedding",
]
"""The four task types of P-tuning v2, and text embedding. Question answering is extractive;
regression is a sequence classification."""


@dataclass(frozen=True, slots=True)
class TaskTraits:
    """The traits that distinguish task types.

    `outputs` is the number of outputs per text, or per token if `spans_of` is set: a fixed number,
    one for each label, or None without an output layer. `spans_of` names the template that holds
    the field whose characters the answers point to; the head of such a task reads every token.
    `may_have_windows` says whether `LongTexts` apply. A question's context always has windows.
    """

    outputs: int | Literal["labels"] | None
    has_problem_type: bool = False
    has_answers: bool = False
    has_choices: bool = False
    may_normalize: bool = False
    may_have_windows: bool = False
    spans_of: Literal["text", "text_pair"] | None = None

    @property
    def has_labels(self) -> bool:
        return self.outputs == "labels"

    @property
    def is_per_token(self) -> bool:
        return self.spans_of is not None


def traits_of(task_type: TaskType) -> TaskTraits:
    """Look up the traits of a task type. The type checker rejects a task type without traits."""
    match task_type:
        case "sequence_classification":
            return TaskTraits(outputs="labels", has_problem_type=True, may_have_windows=True)
        case "token_classification":
            return TaskTraits(outputs="labels", spans_of="text", may_have_windows=True)
        case "question_answering":  # one score to start an answer at a token, one to end it there
            return TaskTraits(outputs=2, has_answers=True, spans_of="text_pair")
        case "multiple_choice":
            return TaskTraits(outputs=1, has_choices=True)
        case "embedding":
            return TaskTraits(outputs=None, may_normalize=True, may_have_windows=True)
        case _:
            assert_never(task_type)
