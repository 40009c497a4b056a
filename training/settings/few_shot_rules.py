"""Rules of trainings without rows or with few, and of the descriptions of labels."""

from typing import Final

from prefixes.names import nearest
from training.settings.train_settings import TrainSettings

_SUPPORTED: Final = ("single_label_classification", "multi_label_classification")


def few_shot_problems(config: TrainSettings) -> list[str]:
    """List the contradictions between settings, one sentence each."""
    return [*_row_problems(config), *_description_problems(config), *_method_problems(config)]


def _row_problems(config: TrainSettings) -> list[str]:
    if config.train is not None:
        return []
    if config.method != "few_shot":
        remedy = "set --train, or train in a plan. Labels are enough for method 'few_shot'"
        return [f"no training rows: {remedy}"]
    if config.labels is None:
        return ["method 'few_shot' needs labels or training rows: set labels, train or both"]
    return []


def _description_problems(config: TrainSettings) -> list[str]:
    descriptions = config.label_descriptions
    if descriptions is None:
        return []
    if config.labels is None:
        return ["label_descriptions need labels: list all labels in order with labels"]
    unknown = next((name for name in descriptions if name not in config.labels), None)
    if unknown is None:
        return []
    hint = nearest(unknown, config.labels)
    return [f"label_descriptions: {unknown[:80]!r} is not one of the labels{hint}"]


def _method_problems(config: TrainSettings) -> list[str]:
    """Check settings that a head without training does not have."""
    if config.method != "few_shot":
        return []
    if config.problem_type not in _SUPPORTED:
        return [
            f"method 'few_shot' supports only {' and '.join(_SUPPORTED)}, not {config.type_name}"
        ]
    if config.labels and not all(label.strip() for label in config.labels):
        return ["labels: expected names, found a blank one: method 'few_shot' reads the names"]
    rows = (config.train, config.feedback, config.validation)
    if config.threshold is not None and not any(rows):
        return ["threshold needs rows to be fitted on: set train or validation, or remove it"]
    rules = {
        "start_from": config.start_from is not None,
        "head_activation": config.head_activation is not None,
        "class_weights": config.class_weights != "none",
        "label_smoothing": config.label_smoothing != 0,
        "averaging": config.averaging != 0,
        "dataset": config.dataset is not None,
        "reject": config.reject is not None,
    }
    return [
        f"{name} does not apply to method 'few_shot', which trains nothing: remove it"
        for name, is_set in rules.items()
        if is_set
    ]
