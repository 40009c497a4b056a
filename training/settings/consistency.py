"""What must hold between the settings of a training; every check returns all its problems."""

from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from prefixes import InputTemplate
from prefixes.template import RESERVED_FIELDS
from training.datasets import DATASETS

if TYPE_CHECKING:
    from training.settings.config import TrainConfig

_PER_TOKEN: Final = {"token_classification", "question_answering"}
_BARE: Final = "{text}"
"""What the template of a tagged text may be, beside a pair's: offsets stay the user's."""


def problems_of(config: "TrainConfig") -> list[str]:
    """Hold settings against each other; one sentence for each thing that cannot be."""
    return [
        *_task_problems(config),
        *_label_problems(config),
        *_text_problems(config),
        *_label_column_problems(config),
        *_tagging_problems(config),
        *_template_problems(config),
        *_recipe_problems(config),
        *_head_problems(config),
    ]


def _task_problems(config: "TrainConfig") -> list[str]:
    task_type = config.task_type
    problems = []
    if config.dataset is not None and task_type != DATASETS[config.dataset].task_type:
        own = DATASETS[config.dataset].task_type
        problems.append(f"{config.dataset} is a {own}: leave out task_type {task_type}")
    if task_type != "sequence_classification" and config.problem_type is not None:
        problems.append(f"problem_type belongs to sequence_classification, this is {task_type}")
    has_labels = task_type in {"sequence_classification", "token_classification"}
    if config.labels is not None and (not has_labels or config.problem_type == "regression"):
        found = config.problem_type or task_type
        problems.append(f"labels belong to classification: a {found} has none")
    if (task_type in _PER_TOKEN) != (config.pooling == "every_token"):
        expected = "every_token" if task_type in _PER_TOKEN else "mean, first_token or pooler"
        problems.append(f"pooling of {task_type} must be {expected}, not {config.pooling}")
    if config.select_by is not None and config.select_by not in config.metrics:
        problems.append(
            f"select_by {config.select_by!r} does not measure {config.problem_type or task_type}: "
            f"expected one of {', '.join(config.metrics)}"
        )
    problems += _class_weight_problems(config)
    problems += _smoothing_problems(config)
    if task_type != "embedding" and config.normalize is not None:
        problems.append(f"normalize belongs to embedding, this is {task_type}")
    if task_type == "embedding" and config.batch_size < 2:
        problems.append(
            "an embedding learns from the other rows of a batch: batch_size must be 2 or more"
        )
    return problems


def _label_problems(config: "TrainConfig") -> list[str]:
    labels = config.labels or ()
    problems = []
    if len(set(labels)) < len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        problems.append(f"labels: expected each once, found {twice[:80]!r} again: leave it out")
    if config.problem_type == "single_label_classification" and len(labels) == 1:
        problems.append("labels: expected two or more, found one: name all, or leave them out")
    if config.labels == ():
        problems.append("labels: expected at least one, found none: name all, or leave them out")
    return problems


def _class_weight_problems(config: "TrainConfig") -> list[str]:
    if config.class_weights == "none":
        return []
    if config.task_type == "token_classification":
        reason = "nearly every word has the tag O; of like weight, tags would be found everywhere"
        return [f"class_weights belong to labels of whole texts: {reason}"]
    if config.task_type != "sequence_classification" or config.problem_type == "regression":
        found = config.problem_type or config.task_type
        return [f"class_weights belong to labels, which a {found} has none of"]
    return []


def _smoothing_problems(config: "TrainConfig") -> list[str]:
    if not config.label_smoothing or config.task_type == "token_classification":
        return []
    found = config.problem_type or config.task_type
    if found == "single_label_classification":
        return []
    return [f"label_smoothing belongs to tasks in which one label is right, this is {found}"]


def _text_problems(config: "TrainConfig") -> list[str]:
    problems = []
    named = (config.text_column, config.pair_column, config.label_column, config.label_columns)
    if config.dataset is not None and any(named):
        problems.append(f"{config.dataset} knows its columns: leave out the names of others")
    if config.pair_column is not None and config.text_column is None:
        problems.append("pair_column needs text_column: name both")
    is_answering = config.task_type == "question_answering"
    only_there = (config.stride, config.max_answer_tokens, config.null_threshold)
    if not is_answering and only_there != (None, None, None):
        problems.append(
            "stride, max_answer_tokens and null_threshold belong to question_answering, this is "
            f"{config.task_type}"
        )
    if is_answering and (config.stride is None or config.max_answer_tokens is None):
        problems.append("question_answering needs stride and max_answer_tokens: leave them out")
    return problems


def _label_column_problems(config: "TrainConfig") -> list[str]:
    columns = config.label_columns
    if columns is None:
        return []
    problems = []
    if config.problem_type != "multi_label_classification":
        problems.append(
            "label_columns belong to multi_label_classification, this is "
            f"{config.problem_type or config.task_type}"
        )
    if config.label_column is not None:
        problems.append("label_column and label_columns exclude each other: leave out one of them")
    if len(columns) < 2 or len(set(columns)) < len(columns):
        problems.append(f"label_columns: expected two or more names, each once, found {columns}")
    if config.labels is not None and sorted(config.labels) != sorted(columns):
        problems.append(
            "labels must be the names in label_columns, in any order: or leave them out"
        )
    return problems


def _tagging_problems(config: "TrainConfig") -> list[str]:
    if not config.snap_to_words or config.task_type == "token_classification":
        return []
    return [f"snap_to_words belongs to token_classification, this is {config.task_type}"]


def _template_problems(config: "TrainConfig") -> list[str]:
    task_type = config.task_type
    if config.template is None:
        lacks = config.pair_template is not None
        return ["pair_template needs template: give both"] if lacks else []
    if task_type == "question_answering" or (task_type in _PER_TOKEN and config.template != _BARE):
        return [f"the texts of {task_type} are the fields as they are: leave out template"]
    try:
        template = InputTemplate(text=config.template, text_pair=config.pair_template)
    except ValidationError as error:
        return [
            f"{'.'.join(map(str, d['loc']))}: {d['msg'].removeprefix('Value error, ')}"
            for d in error.errors()
        ]
    problems = [
        f"template: the field {name!r} is a member of every request: give the column another name"
        for name in sorted(RESERVED_FIELDS.intersection(template.fields))
    ]
    if template.has_choices != (task_type == "multiple_choice"):
        problems.append("a template has {choice} in a multiple_choice, and only there")
    if task_type == "embedding" and len(template.fields) != 1:
        problems.append("the template of an embedding has one field, as 'query: {text}'")
    return problems


def _recipe_problems(config: "TrainConfig") -> list[str]:
    problems = []
    if config.initialization == "activations" and config.projection_size is not None:
        problems.append(
            "initialization 'activations' sets keys and values, which a projection makes: "
            "leave out one of initialization and projection_size"
        )
    if config.start_from is not None:
        rivals = ("initialization", "projection_size")
        given = [name for name in rivals if getattr(config, name) is not None]
        problems += [f"start_from says what the prefix begins as: leave out {x}" for x in given]
    if config.method == "prompt" and config.projection_size is not None:
        problems.append("a projection makes keys and values, which a prompt has none of")
    if config.method == "prompt" and config.position_offset:
        problems.append("a prompt takes positions of its own: leave out position_offset")
    return problems


def _head_problems(config: "TrainConfig") -> list[str]:
    """Hold the length of a prefix against the method; others than it have nothing of a prefix."""
    if config.method in {"prefix", "prompt"}:
        return [] if config.prefix_length else ["prefix_length must be 1 or more, or method 'head'"]
    rules = {
        "prefix_length": config.prefix_length != 0,
        "projection_size": config.projection_size is not None,
        "position_offset": bool(config.position_offset),
        "initialization": config.initialization == "activations",
        "prefix_dropout": config.prefix_dropout != 0,
    }
    problems = [
        f"{name} belongs to a prefix, which method {config.method!r} has none of: leave it out"
        for name, holds in rules.items()
        if holds
    ]
    if config.method == "full":
        return problems + _full_problems(config)
    if config.task_type == "embedding" and config.head_activation is None:
        problems.append(
            "an embedding of method 'head' learns nothing but a dense layer: set head_activation"
        )
    return problems


def _full_problems(config: "TrainConfig") -> list[str]:
    """Refuse what a model of transformers' own has no place for."""
    problems = [
        f"{name} belongs to a prefix file, which method 'full' makes none of: leave it out"
        for name in ("start_from", "head_activation", "normalize")
        if getattr(config, name) is not None
    ]
    if config.averaging:
        problems.append("averaging is of prefixes and heads, not of method 'full': leave it out")
    if config.task_type == "embedding":
        problems.append("method 'full' has no embedding: expected another task_type or method")
    return problems
