"""Rules of trainings with a teacher, and of their unlabeled rows."""

from typing import Final

from training.settings.train_settings import TrainSettings

_SETTINGS: Final = ("teacher_weight", "teacher_temperature", "teacher_learning_rate")


def teacher_problems(config: TrainSettings) -> list[str]:
    """List the contradictions between settings, one sentence each."""
    if config.teacher is None:
        return _problems_without_teacher(config)
    problems = []
    if config.problem_type != "single_label_classification":
        problems.append(
            "a teacher is not yet possible for this task: it supports only "
            f"single_label_classification, not {config.type_name}. Remove teacher"
        )
    if config.method in {"full", "few_shot"}:
        problems.append(
            f"teacher does not apply to method {config.method!r}: remove it, or use method "
            "'prefix', 'vectors', 'prompt' or 'head'"
        )
    if config.unlabeled is not None and config.dataset is not None:
        problems.append(f"unlabeled rows do not work with {config.dataset}: remove one of them")
    return problems + _batch_problems(config)


def _problems_without_teacher(config: TrainSettings) -> list[str]:
    problems = [
        f"{name} applies only with a teacher: set teacher, or remove {name}"
        for name in _SETTINGS
        if getattr(config, name) != TrainSettings.model_fields[name].default
    ]
    if config.unlabeled is not None:
        problems.append(
            "unlabeled rows need a teacher that answers them: set teacher to 'full' or to the "
            "folder of a fine-tuned model"
        )
        return problems
    return problems + _batch_problems(config)


def _batch_problems(config: TrainSettings) -> list[str]:
    default = TrainSettings.model_fields["unlabeled_batch_size"].default
    if config.unlabeled is not None or config.unlabeled_batch_size == default:
        return []
    return ["unlabeled_batch_size applies only with unlabeled rows: set unlabeled, or remove it"]
