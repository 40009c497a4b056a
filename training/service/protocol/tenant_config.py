"""TenantConfig: the settings of a training that a tenant may choose."""

from typing import Annotated, Any, Final, Literal, Self

from annotated_types import Le
from pydantic import (
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    create_model,
    model_validator,
)

from prefixes.values import Value
from training.settings.config import TrainConfig
from training.settings.former_names import with_current_names

_NAMES: Final = (
    "task_type", "method", "validation_fraction", "max_rows", "text_column", "pair_column",
    "label_column", "label_separator", "label_columns", "labels", "label_descriptions",
    "problem_type", "template", "pair_template", "snap_to_words", "special_tokens",
    "long_texts", "stride", "merge", "max_windows", "max_answer_tokens", "description",
    "prefix_length", "rank", "projection_size",
    "initialization", "position_offset", "max_length", "pooling", "normalize", "head_activation",
    "learning_rate", "head_learning_rate", "schedule", "warmup", "weight_decay",
    "max_gradient_norm", "prefix_dropout", "hidden_dropout", "feature_dropout", "batch_size",
    "gradient_accumulation", "epochs", "min_steps", "max_steps", "evaluate_every", "patience",
    "select_by", "seed", "class_weights", "label_smoothing", "averaging", "file_dtype",
    "golden_examples", "golden_inputs", "threshold", "hierarchy", "reject",
    "teacher", "teacher_weight", "teacher_temperature", "teacher_learning_rate",
    "unlabeled_batch_size",
)  # fmt: skip
"""Listed one by one, so that a new field of `TrainConfig`, which may name a file of the server's
machine, is withheld until somebody adds it here."""

_MAXIMA: Final = {
    "batch_size": 512,
    "unlabeled_batch_size": 512,
    "gradient_accumulation": 64,
    "projection_size": 4096,
}
"""Bounds of fields that memory depends on and that `TrainConfig` does not bound."""

TenantMethod = Literal["prefix", "vectors", "prompt", "head", "few_shot"]

_METHOD: Final = Field(
    default="vectors",
    description="vectors: scales and shifts of the norms; prefix: keys and values, the default if "
    "prefix_length or another setting of prefixes is set; prompt: embeddings at the input; head: "
    "a head alone; few_shot: a head that is computed without training, the default for few rows",
)
"""Without `full`: the server could not serve a fine-tuned model, which has no prefix."""

_TEACHER: Final = Field(
    default=None,
    description="full: fine-tune a model on the same rows first, and learn its answers as well",
)
"""Without folders, which would be those of the server."""

_CHOSEN_BY_THE_SERVER: Final = {"task": "tenant/task"}
_ROWS: Final = {"train": "train.csv"}
_UNLABELED: Final = {"unlabeled": "unlabeled.csv"}
"""Fields of `TrainConfig`; which values they have makes no difference to the others."""


class _Rules(Value):
    """Types are strict, because lax validation would take `true` for 1 and `"4"` for 4."""

    model_config = ConfigDict(strict=True)

    @model_validator(mode="before")
    @classmethod
    def _takes_json(cls, data: Any) -> Any:
        """Accept former names, and a JSON array for a tuple."""
        if not isinstance(data, dict):
            return data
        return {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in with_current_names(data).items()
        }

    @model_validator(mode="after")
    def _is_consistent(self, info: ValidationInfo) -> Self:
        """Check the fields against each other. Runs only where each of them is valid.

        In a context, `has_rows` says whether there is a file of rows (true by default), and
        `has_unlabeled` whether there is one of unlabeled rows (false by default).
        """
        chosen = self.model_dump(exclude_unset=True)
        context = info.context or {}
        rows = _ROWS if context.get("has_rows", True) else {}
        rows = {**rows, **(_UNLABELED if context.get("has_unlabeled", False) else {})}
        try:
            TrainConfig.model_validate({**_CHOSEN_BY_THE_SERVER, **rows, **chosen})
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=False)
            sentences = [detail["msg"].removeprefix("Value error, ") for detail in details]
            raise ValueError("; ".join(sentences)) from error
        return self


def _field(name: str) -> tuple[Any, Any]:
    field = TrainConfig.model_fields[name]
    if name == "method":
        return TenantMethod, _METHOD
    if name == "teacher":
        return Literal["full"] | None, _TEACHER
    if name in _MAXIMA:
        return Annotated[field.annotation, Le(_MAXIMA[name])], field
    return field.annotation, field


_FIELDS: Final[dict[str, Any]] = {name: _field(name) for name in _NAMES}

TenantConfig: Final = create_model(
    "TenantConfig",
    __base__=_Rules,
    __doc__="Settings of a training. All have defaults.",
    **_FIELDS,
)
