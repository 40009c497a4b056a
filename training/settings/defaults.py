"""What each type of task begins with, and what it is measured by."""

from typing import Any, Final, Literal

from prefixes.spec import ProblemType, TaskType

MetricName = Literal[
    "accuracy",
    "macro_f1",
    "micro_f1",
    "matthews",
    "combined",
    "query_f1",
    "query_exact_match",
    "pearson",
    "spearman",
    "negative_mse",
    "entity_f1",
    "word_entity_f1",
    "role_f1",
    "token_accuracy",
    "f1",
    "exact_match",
    "mrr",
    "recall_at_1",
]

METRICS: Final[dict[TaskType | ProblemType, tuple[MetricName, ...]]] = {
    "single_label_classification": (
        *("accuracy", "macro_f1", "matthews", "f1", "combined"),
        *("query_f1", "query_exact_match"),
    ),
    "multi_label_classification": ("micro_f1", "macro_f1", "accuracy"),
    "regression": ("pearson", "spearman", "combined", "negative_mse"),
    "multiple_choice": ("accuracy",),
    "token_classification": (
        *("entity_f1", "word_entity_f1", "role_f1"),
        *("macro_f1", "token_accuracy"),
    ),
    "question_answering": ("f1", "exact_match"),
    "embedding": ("mrr", "recall_at_1"),
}
"""The metrics that may choose the best step, by task type; the first is the default."""

QUERY_METRICS: Final = frozenset({"query_f1", "query_exact_match"})
"""Those that need rows which propose answers to queries."""

DEFAULTS: Final[dict[str, dict[str, Any]]] = {
    "sequence_classification": {"problem_type": "single_label_classification"},
    "token_classification": {"pooling": "every_token"},
    "question_answering": {
        "pooling": "every_token",
        "batch_size": 8,  # as P-tuning v2: a row is as long as ten of another task
        "feature_dropout": 0.0,  # P-tuning v2 drops nothing before this output layer
        "stride": 128,
        "max_answer_tokens": 30,
    },
}
"""Settings of a training in which a type of task differs from what all begin with."""

METHOD_DEFAULTS: Final[dict[str, dict[str, Any]]] = {
    "head": {"prefix_length": 0},
    "full": {"prefix_length": 0, "learning_rate": 5e-5, "weight_decay": 0.01, "warmup": 0.1},
}
"""Settings in which a method differs: a whole model is moved in steps that are far smaller."""

_MAX_LENGTH: Final = 256
_WINDOW: Final = 384


def max_length_of(task_type: TaskType) -> int:
    """Give the tokens of a text at most, where nobody says and the backbone has room for them."""
    return _WINDOW if task_type == "question_answering" else _MAX_LENGTH
