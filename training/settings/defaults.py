"""Defaults of task types and methods, and the metrics of each task type."""

from typing import Any, Final, Literal, assert_never

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

_PROBLEM_METRICS: Final[dict[ProblemType, tuple[MetricName, ...]]] = {
    "single_label_classification": (
        *("accuracy", "macro_f1", "matthews", "f1", "combined"),
        *("query_f1", "query_exact_match"),
    ),
    "multi_label_classification": ("micro_f1", "macro_f1", "accuracy"),
    "regression": ("pearson", "spearman", "combined", "negative_mse"),
}

_TAGGING_METRICS: Final[tuple[MetricName, ...]] = (
    *("entity_f1", "word_entity_f1", "role_f1"),
    *("macro_f1", "token_accuracy"),
)

QUERY_METRICS: Final = frozenset({"query_f1", "query_exact_match"})
"""Metrics that need rows with candidate answers to queries."""

TASK_TYPE_DEFAULTS: Final[dict[str, dict[str, Any]]] = {
    "sequence_classification": {"problem_type": "single_label_classification"},
    "token_classification": {"pooling": "every_token"},
    "question_answering": {
        "pooling": "every_token",
        "batch_size": 8,  # as P-tuning v2: a row is as long as ten rows of another task
        "feature_dropout": 0.0,  # P-tuning v2 drops nothing before this output layer
        "stride": 128,
        "max_answer_tokens": 30,
    },
}
"""Defaults that differ between task types."""

DEFAULT_LENGTH: Final = 16
"""Number of slots of prefixes and prompts."""

VECTORS_DEFAULTS: Final[dict[str, dict[str, Any]]] = {
    "token_classification": {"rank": 8, "hidden_dropout": 0.1, "label_smoothing": 0.1},
}
"""Defaults of vectors that differ between task types."""

METHOD_DEFAULTS: Final[dict[str, dict[str, Any]]] = {
    "prefix": {"prefix_length": DEFAULT_LENGTH, "learning_rate": 2e-2},
    "prompt": {"prefix_length": DEFAULT_LENGTH, "learning_rate": 2e-2},
    "full": {"learning_rate": 5e-5, "weight_decay": 0.01, "warmup": 0.1},
}
"""Defaults that differ between methods. A whole model needs much smaller steps."""

PREFIX_SETTINGS: Final[dict[str, tuple[Any, ...]]] = {
    "prefix_length": (None, 0),
    "position_offset": (None,),
    "projection_size": (None,),
    "initialization": (None,),
    "prefix_dropout": (None, 0),
}
"""Settings that imply the method `prefix` where none is given, unless they have one of these
values."""

_MAX_LENGTH: Final = 256
_WINDOW: Final = 384


def method_defaults(method: str, task_type: str) -> dict[str, Any]:
    """Return the defaults of a method for a task type."""
    if method == "vectors":
        return VECTORS_DEFAULTS.get(task_type, {})
    return METHOD_DEFAULTS.get(method, {})


def metrics_of(task_type: TaskType, problem_type: ProblemType | None) -> tuple[MetricName, ...]:
    """List the metrics that can select the best step; the first is the default."""
    match task_type:
        case "sequence_classification":
            return _PROBLEM_METRICS[problem_type or "single_label_classification"]
        case "multiple_choice":
            return ("accuracy",)
        case "token_classification":
            return _TAGGING_METRICS
        case "question_answering":
            return ("f1", "exact_match")
        case "embedding":
            return ("mrr", "recall_at_1")
        case _:
            assert_never(task_type)


def max_length_of(task_type: TaskType) -> int:
    """Return the default maximum number of tokens of a text. The backbone may allow fewer."""
    return _WINDOW if task_type == "question_answering" else _MAX_LENGTH
