"""Checks of the settings that put rules for answers and for long texts into a prefix file."""

from prefixes.spec import traits_of
from training.settings.threshold_target import ThresholdTarget
from training.settings.train_settings import TrainSettings


def answer_rule_problems(config: TrainSettings) -> list[str]:
    """List the contradictions between settings, one sentence each."""
    return [
        *_threshold_problems(config),
        *_hierarchy_problems(config),
        *_rejection_problems(config),
        *_window_problems(config),
    ]


def _threshold_problems(config: TrainSettings) -> list[str]:
    if config.threshold is None:
        return []
    try:
        ThresholdTarget.parse(config.threshold)
    except ValueError as error:
        return [str(error)]
    if config.problem_type in {None, "regression"}:
        return [f"threshold applies only to labels of whole texts, not to {config.type_name}"]
    if config.method == "full":
        return ["threshold needs a prefix file to store it in: method full writes a model"]
    return []


def _hierarchy_problems(config: TrainSettings) -> list[str]:
    if config.hierarchy is None:
        return []
    if config.problem_type in {None, "regression"}:
        return [f"hierarchy applies only to labels of whole texts, not to {config.type_name}"]
    if config.hierarchy == {}:
        return ["hierarchy: expected the parent of at least one label, found none"]
    if config.method == "full":
        return ["hierarchy needs a prefix file to store it in: method full writes a model"]
    return []


def _rejection_problems(config: TrainSettings) -> list[str]:
    if config.reject is None:
        return []
    found = config.type_name
    if found != "single_label_classification":
        return [f"reject applies only to tasks with exactly one right label, not to {found}"]
    if config.method == "full":
        return ["reject needs a prefix file to store its rule in: method full writes a model"]
    return []


def _window_problems(config: TrainSettings) -> list[str]:
    traits = traits_of(config.task_type)
    if config.long_texts == "truncate":
        own = ("merge", "max_windows", *(() if traits.has_answers else ("stride",)))
        return [
            f"{name} applies only with long_texts 'windows': set it, or remove {name}"
            for name in own
            if getattr(config, name) is not None
        ]
    problems = []
    if traits.has_answers:
        problems.append("question_answering always reads contexts in windows: remove long_texts")
    elif not traits.may_have_windows:
        problems.append(f"long_texts 'windows' does not apply to {config.task_type}: remove it")
    if config.method == "full":
        problems.append("long_texts applies only to a prefix file, and method 'full' writes none")
    if config.merge is not None and config.task_type != "sequence_classification":
        problems.append(
            f"merge applies only to sequence_classification, not to {config.task_type}: remove it"
        )
    return problems
