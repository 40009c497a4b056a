"""TrainConfig: the validated configuration of one training."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import ModelWrapValidatorHandler, field_validator, model_validator

from prefixes import PrefixError, PrefixRef
from training.datasets import dataset_named
from training.errors import PlanRejected
from training.settings.consistency import problems_of
from training.settings.defaults import PREFIX_SETTINGS, TASK_TYPE_DEFAULTS, method_defaults
from training.settings.former_names import with_current_names
from training.settings.train_settings import TrainSettings


class TrainConfig(TrainSettings):
    """One prefix to train. Its dataset, method and task type provide defaults."""

    @field_validator("task")
    @classmethod
    def _names_a_task(cls, text: str) -> str:
        try:
            reference = PrefixRef.parse(text)
        except PrefixError as error:
            raise ValueError(str(error)) from error
        if "@" in text or ":" in text:
            raise ValueError(f"{text!r} names a version or alias: expected TENANT/TASK")
        return f"{reference.tenant}/{reference.task}"

    @model_validator(mode="wrap")
    @classmethod
    def _has_defaults(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Add the defaults of the dataset, the missing rows, the task type and the method.

        Those of the method do not count as set, because another method has its own.
        """
        if not isinstance(data, dict):
            return handler(data)
        data = with_current_names(data)
        data = {**_of_dataset(data), **data}
        if data.get("label_columns"):
            data = {"problem_type": "multi_label_classification", **data}
        data = {**_implied_method(data), **data}
        task_type = data.get("task_type", "sequence_classification")
        defaults = TASK_TYPE_DEFAULTS.get(task_type, {}) if isinstance(task_type, str) else {}
        of_method = _of_method(data)
        config = handler({**defaults, **of_method, **data})
        config.model_fields_set.difference_update(of_method.keys() - data.keys())
        return config

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        problems = problems_of(self)
        if problems:
            raise ValueError("; ".join(problems))
        return self


def _implied_method(data: Mapping[str, Any]) -> dict[str, str]:
    """Return the method that the other settings imply, if any."""
    if _has_labels_alone(data):
        return {"method": "few_shot"}
    has_prefix = any(data.get(name) not in values for name, values in PREFIX_SETTINGS.items())
    return {"method": "prefix"} if has_prefix else {}


def _of_method(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the defaults of the method. Length and rank may be those of an initial prefix."""
    defaults = method_defaults(str(data.get("method", "vectors")), str(data.get("task_type")))
    shape = {"prefix_length", "rank"} if data.get("start_from") is not None else set()
    return {name: x for name, x in defaults.items() if name not in shape}


def _has_labels_alone(data: Mapping[str, Any]) -> bool:
    """Return whether the names of the labels are all that is known of a classification."""
    is_of_texts = data.get("task_type") in {None, "sequence_classification"}
    has_labels = data.get("problem_type") != "regression" and bool(data.get("labels"))
    has_rows = any(data.get(name) is not None for name in ("train", "feedback"))
    return is_of_texts and has_labels and not has_rows


def _of_dataset(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the defaults of a named dataset. Its rows come from the hub unless `train` is set."""
    name = data.get("dataset")
    if not isinstance(name, str):
        return {}
    try:
        dataset = dataset_named(name)
        if "train" in data:
            return dataset.defaults
        sources = dataset.hub_sources()
    except PlanRejected as error:
        raise ValueError(str(error)) from error
    return {**dataset.defaults, "train": sources["train"], "validation": sources["validation"]}
