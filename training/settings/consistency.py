"""Rules between the settings of a training. Every check returns all problems it finds."""

from typing import Final

from pydantic import ValidationError

from prefixes import InputTemplate
from prefixes.spec import traits_of
from prefixes.template import RESERVED_FIELDS
from training.datasets import DATASETS
from training.settings.answer_rules import answer_rule_problems
from training.settings.few_shot_rules import few_shot_problems
from training.settings.teacher_rules import teacher_problems
from training.settings.train_settings import TrainSettings

_BARE: Final = "{text}"
"""The only template of a tagged text: offsets must count the characters that the user sent."""


def problems_of(config: TrainSettings) -> list[str]:
    """List the contradictions between settings, one sentence each."""
    return [
        *_task_problems(config),
        *_label_problems(config),
        *_class_weight_problems(config),
        *_smoothing_problems(config),
        *_embedding_problems(config),
        *_text_problems(config),
        *_answer_problems(config),
        *_label_column_problems(config),
        *_tagging_problems(config),
        *_template_problems(config),
        *_recipe_problems(config),
        *_rank_problems(config),
        *_head_problems(config),
        *answer_rule_problems(config),
        *few_shot_problems(config),
        *teacher_problems(config),
    ]


def _task_problems(config: TrainSettings) -> list[str]:
    task_type = config.task_type
    traits = traits_of(task_type)
    problems = []
    if config.dataset is not None and task_type != DATASETS[config.dataset].task_type:
        own = DATASETS[config.dataset].task_type
        problems.append(f"task_type {task_type} contradicts {config.dataset}, a {own}: remove it")
    if config.problem_type is not None and not traits.has_problem_type:
        problems.append(
            f"problem_type applies only to sequence_classification, not to {task_type}: remove it"
        )
    if traits.is_per_token != (config.pooling == "every_token"):
        expected = "every_token" if traits.is_per_token else "mean, first_token or pooler"
        problems.append(f"pooling of {task_type} must be {expected}, not {config.pooling}")
    if config.select_by is not None and config.select_by not in config.metrics:
        problems.append(
            f"select_by {config.select_by!r} does not measure {config.type_name}: "
            f"expected one of {', '.join(config.metrics)}"
        )
    return problems


def _label_problems(config: TrainSettings) -> list[str]:
    if config.labels is None:
        return []
    labels = config.labels
    problems = []
    if not traits_of(config.task_type).has_labels or config.problem_type == "regression":
        problems.append(f"labels apply only to classification, not to {config.type_name}")
    if len(set(labels)) < len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        problems.append(f"labels: {twice[:80]!r} occurs more than once: list each label once")
    if config.problem_type == "single_label_classification" and len(labels) == 1:
        problems.append("labels: expected at least two, found one: list all, or remove labels")
    if not labels:
        problems.append("labels: expected at least one, found none: list all, or remove labels")
    return problems


def _class_weight_problems(config: TrainSettings) -> list[str]:
    if config.class_weights == "none":
        return []
    if config.task_type == "token_classification":
        reason = "Nearly every word has the tag O: equal weights would find entities everywhere"
        return [f"class_weights apply only to labels of whole texts. {reason}"]
    if config.task_type != "sequence_classification" or config.problem_type == "regression":
        return [f"class_weights apply only to labels: {config.type_name} has no labels"]
    return []


def _smoothing_problems(config: TrainSettings) -> list[str]:
    if not config.label_smoothing or config.task_type == "token_classification":
        return []
    found = config.type_name
    if found == "single_label_classification":
        return []
    return [f"label_smoothing applies only to tasks with exactly one right label, not to {found}"]


def _embedding_problems(config: TrainSettings) -> list[str]:
    problems = []
    if config.normalize is not None and not traits_of(config.task_type).may_normalize:
        problems.append(f"normalize applies only to embedding, not to {config.task_type}")
    if config.task_type == "embedding" and config.batch_size < 2:
        problems.append(
            "batch_size of an embedding must be at least 2: it compares the rows of a batch"
        )
    return problems


def _text_problems(config: TrainSettings) -> list[str]:
    problems = []
    named = (config.text_column, config.pair_column, config.label_column, config.label_columns)
    if config.dataset is not None and any(named):
        problems.append(f"{config.dataset} defines its columns: remove the column settings")
    if config.pair_column is not None and config.text_column is None:
        problems.append("pair_column needs text_column: set both")
    return problems


def _answer_problems(config: TrainSettings) -> list[str]:
    answers = (config.max_answer_tokens, config.null_threshold)
    if not traits_of(config.task_type).has_answers:
        if answers == (None, None):
            return []
        names = "max_answer_tokens and null_threshold"
        return [f"{names} apply only to question_answering, not to {config.task_type}"]
    if config.stride is None or config.max_answer_tokens is None:
        return ["question_answering needs stride and max_answer_tokens: do not set them to null"]
    return []


def _label_column_problems(config: TrainSettings) -> list[str]:
    columns = config.label_columns
    if columns is None:
        return []
    problems = []
    if config.problem_type != "multi_label_classification":
        problems.append(
            f"label_columns apply only to multi_label_classification, not to {config.type_name}"
        )
    if config.label_column is not None:
        problems.append("label_column and label_columns exclude each other: remove one of them")
    if len(columns) < 2 or len(set(columns)) < len(columns):
        problems.append(f"label_columns: expected at least two different names, found {columns}")
    if config.labels is not None and sorted(config.labels) != sorted(columns):
        problems.append("labels must be the names in label_columns, in any order: or remove labels")
    return problems


def _tagging_problems(config: TrainSettings) -> list[str]:
    if not config.snap_to_words or config.task_type == "token_classification":
        return []
    return [f"snap_to_words applies only to token_classification, not to {config.task_type}"]


def _template_problems(config: TrainSettings) -> list[str]:
    task_type = config.task_type
    traits = traits_of(task_type)
    if config.template is None:
        lacks = config.pair_template is not None
        return ["pair_template needs template: set both"] if lacks else []
    if task_type == "question_answering" or (traits.is_per_token and config.template != _BARE):
        return [f"{task_type} takes the texts unchanged: remove template"]
    try:
        template = InputTemplate(text=config.template, text_pair=config.pair_template)
    except ValidationError as error:
        return [
            f"{'.'.join(map(str, d['loc']))}: {d['msg'].removeprefix('Value error, ')}"
            for d in error.errors()
        ]
    problems = [
        f"template: {name!r} is a reserved field of requests: rename the column"
        for name in sorted(RESERVED_FIELDS.intersection(template.fields))
    ]
    if template.has_choices != traits.has_choices:
        problems.append("a multiple_choice template must contain {choice}, and no other may")
    if task_type == "embedding" and len(template.fields) != 1:
        problems.append("the template of an embedding must have one field, as in 'query: {text}'")
    return problems


def _recipe_problems(config: TrainSettings) -> list[str]:
    problems = []
    if config.initialization == "activations" and config.projection_size is not None:
        problems.append(
            "initialization 'activations' does not work with projection_size, because a projection "
            "computes the prefix: remove one of them"
        )
    if config.start_from is not None:
        rivals = ("initialization", "projection_size")
        given = [name for name in rivals if getattr(config, name) is not None]
        problems += [f"start_from determines the initial prefix: remove {name}" for name in given]
    if config.method == "prompt" and config.projection_size is not None:
        problems.append("projection_size applies only to method 'prefix', not to 'prompt'")
    if config.method == "prompt" and config.position_offset:
        problems.append("a prompt has positions of its own: remove position_offset")
    return problems


def _rank_problems(config: TrainSettings) -> list[str]:
    if not config.rank or config.method == "vectors":
        return []
    return [f"rank applies only to method 'vectors', not to {config.method!r}: remove it"]


def _head_problems(config: TrainSettings) -> list[str]:
    """Check settings of a prefix that the method does not have."""
    if config.method in {"prefix", "prompt"}:
        if config.prefix_length or config.start_from is not None:
            return []
        missing = f"method {config.method!r} needs a prefix_length of 1 or more, found 0"
        return [f"{missing}: set it, or use method 'vectors' or 'head'"]
    rules = {
        "prefix_length": config.prefix_length != 0,
        "projection_size": config.projection_size is not None,
        "position_offset": bool(config.position_offset),
        "initialization": config.initialization == "activations",
        "prefix_dropout": config.prefix_dropout != 0,
    }
    problems = [
        f"{name} applies only to a prefix, and method {config.method!r} trains none: remove it"
        for name, is_set in rules.items()
        if is_set
    ]
    if config.method == "full":
        return problems + _full_problems(config)
    is_head_alone = config.method == "head" and config.head_activation is None
    if config.task_type == "embedding" and is_head_alone:
        problems.append("an embedding of method 'head' needs head_activation: nothing else learns")
    return problems


def _full_problems(config: TrainSettings) -> list[str]:
    """Check settings that the model classes of transformers do not support."""
    problems = [
        f"{name} applies only to a prefix file, and method 'full' writes none: remove it"
        for name in ("start_from", "head_activation", "normalize")
        if getattr(config, name) is not None
    ]
    if config.hidden_dropout:
        problems.append("the model of method 'full' has its own dropout: remove hidden_dropout")
    if config.averaging:
        problems.append("averaging applies only to prefixes and heads: remove it for method 'full'")
    if config.task_type == "embedding":
        problems.append("method 'full' does not support embedding: choose another method")
    return problems
