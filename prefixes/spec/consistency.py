"""The rules that hold between the fields of a description. Each returns all its problems."""

from typing import Final

from prefixes.errors import InputRejected
from prefixes.spec.long_texts import LongTexts
from prefixes.spec.spec_fields import SpecFields
from prefixes.spec.task_types import traits_of
from prefixes.template import template_fields

MAX_TAGS: Final = 1_000
"""Maximum number of labels in token classification, where every token has an output per label."""


def problems_of(spec: SpecFields) -> list[str]:
    """List the problems of all rules."""
    return [problem for rule in _RULES for problem in rule(spec)]


def _task_problems(spec: SpecFields) -> list[str]:
    """List the parts that the task type requires but lacks, or has but does not allow."""
    traits = traits_of(spec.task_type)
    parts = [
        ("problem_type", traits.has_problem_type, spec.problem_type is not None),
        ("labels", traits.has_labels, bool(spec.labels)),
        ("answers", traits.has_answers, spec.answers is not None),
        ("pooling every_token", traits.is_per_token, spec.head.pooling == "every_token"),
        ("a template with {choice}", traits.has_choices, spec.input.has_choices),
    ]
    problems = [
        f"task type {spec.task_type} {'requires' if is_required else 'does not allow'} {part}"
        for part, is_required, is_given in parts
        if is_required != is_given
    ]
    if spec.head.normalize and not traits.may_normalize:
        problems.append(f"task type {spec.task_type} does not allow normalize")
    if traits.spans_of is not None and not _is_bare(getattr(spec.input, traits.spans_of)):
        problems.append(
            f"the {traits.spans_of} template of {spec.task_type} must be a single "
            "placeholder, since answers point into that field"
        )
    return problems


def _is_bare(template: str | None) -> bool:
    """Say whether a template is one placeholder only, so that offsets are those of the field."""
    if template is None:
        return False
    names = template_fields(template)
    return len(names) == 1 and template == f"{{{names[0]}}}"


def _label_problems(spec: SpecFields) -> list[str]:
    problems = []
    if len(set(spec.labels)) != len(spec.labels):
        problems.append("labels must differ from each other")
    if spec.task_type == "token_classification" and len(spec.labels) > MAX_TAGS:
        problems.append(
            f"token_classification allows at most {MAX_TAGS} labels, found {len(spec.labels)}"
        )
    if spec.problem_type == "single_label_classification" and len(spec.labels) < 2:
        problems.append("single_label_classification needs at least two labels")
    if spec.thresholds is not None and spec.problem_type != "multi_label_classification":
        problems.append("thresholds belong to multi_label_classification only")
    if spec.thresholds is not None and len(spec.thresholds) != len(spec.labels):
        problems.append(f"found {len(spec.thresholds)} thresholds for {len(spec.labels)} labels")
    return problems


def _decision_problems(spec: SpecFields) -> list[str]:
    rules = spec.decisions
    if rules is None:
        return []
    problems = []
    if rules.thresholds is not None:
        if spec.problem_type != "single_label_classification":
            problems.append("decisions.thresholds belong to single_label_classification only")
        if len(rules.thresholds) != len(spec.labels):
            problems.append(
                f"found {len(rules.thresholds)} decisions.thresholds for {len(spec.labels)} labels"
            )
    if rules.reference is not None and len(rules.reference.labels) != _num_counted_labels(spec):
        problems.append(
            f"decisions.reference must have {_num_counted_labels(spec)} bins of labels, found "
            f"{len(rules.reference.labels)}"
        )
    if rules.hierarchy is not None:
        if not spec.has_labels_of_texts:
            problems.append("decisions.hierarchy belongs to tasks whose answers are labels")
        problems += rules.hierarchy.problems(spec.labels)
    if rules.min_score is not None and not spec.has_labels_of_texts:
        problems.append("decisions.min_score belongs to tasks whose answers are labels of a text")
    if rules.long_texts is not None:
        problems += _long_text_problems(spec, rules.long_texts)
    return problems


def _num_counted_labels(spec: SpecFields) -> int:
    """Count the bins of labels in statistics: none of the labels is a bin, too."""
    return spec.num_labels + 1 if spec.has_labels_of_texts else 0


def _rejection_problems(spec: SpecFields) -> list[str]:
    if spec.rejection is None:
        return []
    hidden = spec.backbone.hidden_size
    problems = spec.rejection.problems(num_labels=spec.num_labels, hidden_size=hidden)
    if spec.problem_type != "single_label_classification":
        problems.append("decisions.rejection belongs to single_label_classification only")
    return problems


def _long_text_problems(spec: SpecFields, rule: LongTexts) -> list[str]:
    if not traits_of(spec.task_type).may_have_windows:
        return [f"task type {spec.task_type} does not allow decisions.long_texts"]
    if rule.merge != "mean" and spec.task_type != "sequence_classification":
        return [f"task type {spec.task_type} does not allow the merge {rule.merge}"]
    return []


def _method_problems(spec: SpecFields) -> list[str]:
    problems = []
    is_short = spec.method in {"head", "vectors"}
    if is_short != (spec.prefix_length == 0):
        expected = "0" if is_short else "1 or more"
        problems.append(
            f"prefix_length of method {spec.method} must be {expected}, found {spec.prefix_length}"
        )
    if spec.method != "prefix" and spec.position_offset != 0:
        problems.append(
            f"position_offset of method {spec.method} must be 0, found {spec.position_offset}"
        )
    if spec.rank and spec.method != "vectors":
        problems.append(f"rank belongs to method vectors only, found {spec.rank}")
    backbone = spec.backbone
    if spec.method == "vectors" and backbone.hidden_size % (
        backbone.num_heads * backbone.head_size
    ):
        problems.append(
            "vectors need a hidden size that is a multiple of the width of the keys: use method "
            "prefix"
        )
    if spec.method == "head" and spec.num_outputs is None and spec.head.activation is None:
        problems.append("an embedding without a prefix needs a dense layer: it trains nothing else")
    return problems


def _position_problems(spec: SpecFields) -> list[str]:
    taken, by = (
        (spec.position_offset, "position_offset")
        if spec.method != "prompt"
        else (spec.prefix_length, "the prompt")
    )
    available = spec.backbone.max_positions - taken
    if spec.max_length <= available:
        return []
    problem = (
        f"max_length {spec.max_length} does not fit: of the backbone's "
        f"{spec.backbone.max_positions} positions, {by} takes {taken}, which leaves {available}"
    )
    return [problem]


def _pooling_problems(spec: SpecFields) -> list[str]:
    problems = []
    if spec.head.pooling == "pooler" and not spec.backbone.has_pooler:
        problems.append(
            "pooling is pooler, but the backbone has no pooler: pool the first token, and store "
            "the pooler's layer as the head's dense layer"
        )
    if spec.head.pooled_from == "prompt" and (
        spec.method != "prompt" or spec.head.pooling not in {"first_token", "pooler"}
    ):
        problems.append("pooled_from prompt needs a prompt, and pooling first_token or pooler")
    return problems


def _golden_problems(spec: SpecFields) -> list[str]:
    problems = []
    for number, example in enumerate(spec.golden):
        try:
            num_texts = len(spec.input.render(example.fields, max_characters=1))
        except InputRejected as error:
            problems.append(f"golden example {number}: {error}")
            continue
        expected = num_texts * (spec.num_outputs or spec.backbone.hidden_size)
        is_per_token = spec.head.pooling == "every_token"
        if len(example.logits) % expected or (not is_per_token and len(example.logits) != expected):
            count = f"a multiple of {expected}" if is_per_token else str(expected)
            problems.append(
                f"golden example {number} has {len(example.logits)} logits, expected {count}"
            )
    return problems


_RULES: Final = (
    _task_problems,
    _label_problems,
    _decision_problems,
    _rejection_problems,
    _method_problems,
    _position_problems,
    _pooling_problems,
    _golden_problems,
)
