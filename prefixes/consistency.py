"""What must hold between the parts of a description; every check returns all its problems."""

from typing import TYPE_CHECKING, Final

from prefixes.errors import InputRejected
from prefixes.template import template_fields

if TYPE_CHECKING:
    from prefixes.spec import PrefixSpec

MAX_TAGS: Final = 1_000
"""Labels of token classification: there are outputs for every one of them, of every token."""


def problems_of(spec: "PrefixSpec") -> list[str]:
    """Hold a description against itself; one sentence for each thing that cannot be."""
    return [
        *_task_problems(spec),
        *_label_problems(spec),
        *_method_problems(spec),
        *_place_problems(spec),
        *_golden_problems(spec),
    ]


def _task_problems(spec: "PrefixSpec") -> list[str]:
    """Hold a description against what its task type needs and what it has no use for."""
    kind = spec.task_type
    is_sequence, is_tokens = kind == "sequence_classification", kind == "token_classification"
    is_answering, is_embedding = kind == "question_answering", kind == "embedding"
    template = spec.input
    rules = [
        (is_sequence == (spec.problem_type is not None), "problem_type: sequence classification"),
        ((is_sequence or is_tokens) == bool(spec.labels), "labels: classification"),
        (is_answering == (spec.answers is not None), "answers: question answering"),
        (is_embedding or not spec.head.normalize, "normalize: an embedding"),
        (
            (is_tokens or is_answering) == (spec.head.pooling == "every_token"),
            "pooling every_token: token classification and question answering",
        ),
        (
            (kind == "multiple_choice") == template.has_choices,
            "a template with {choice}: multiple choice",
        ),
    ]
    problems = [
        f"{rule} needs it and no other task may have it, this is {kind}"
        for holds, rule in rules
        if not holds
    ]
    if is_tokens and not _is_bare(template.text):
        problems.append("the text of token classification must be a field as it is, as {text}")
    if is_answering and not _is_bare(template.text_pair):
        problems.append(
            "the text_pair of question answering must be a field as it is, as {context}"
        )
    return problems


def _is_bare(template: str | None) -> bool:
    """Say whether a template is one placeholder and nothing else: offsets stay the user's."""
    if template is None:
        return False
    names = template_fields(template)
    return len(names) == 1 and template == f"{{{names[0]}}}"


def _label_problems(spec: "PrefixSpec") -> list[str]:
    problems = []
    if len(set(spec.labels)) != len(spec.labels):
        problems.append("labels must differ from each other")
    if spec.task_type == "token_classification" and len(spec.labels) > MAX_TAGS:
        problems.append(f"a token has one of at most {MAX_TAGS} labels, found {len(spec.labels)}")
    if spec.problem_type == "single_label_classification" and len(spec.labels) < 2:
        problems.append("single_label_classification needs at least two labels")
    if spec.thresholds is not None and spec.problem_type != "multi_label_classification":
        problems.append("thresholds belong to multi_label_classification only")
    if spec.thresholds is not None and len(spec.thresholds) != len(spec.labels):
        problems.append(f"{len(spec.thresholds)} thresholds for {len(spec.labels)} labels")
    return problems


def _method_problems(spec: "PrefixSpec") -> list[str]:
    problems = []
    if (spec.method == "head") != (spec.prefix_length == 0):
        expected = "0" if spec.method == "head" else "1 or more"
        problems.append(
            f"prefix_length of a {spec.method} must be {expected}, found {spec.prefix_length}"
        )
    if spec.method == "prompt" and spec.position_offset != 0:
        problems.append("a prompt takes positions of its own: position_offset must be 0")
    if spec.method == "head" and spec.position_offset != 0:
        problems.append("without a prefix texts are not shifted: position_offset must be 0")
    if spec.method == "head" and spec.num_outputs is None and spec.head.activation is None:
        problems.append("an embedding without a prefix needs a dense layer: nothing else is learnt")
    return problems


def _place_problems(spec: "PrefixSpec") -> list[str]:
    problems = []
    taken, by = (
        (spec.position_offset, "position_offset")
        if spec.method != "prompt"
        else (spec.prefix_length, "the prompt")
    )
    room = spec.backbone.max_positions - taken
    if spec.max_length > room:
        problems.append(
            f"max_length {spec.max_length} does not fit: the backbone has "
            f"{spec.backbone.max_positions} positions, {taken} of them taken "
            f"by {by}, which leaves {room}"
        )
    if spec.head.pooling == "pooler" and not spec.backbone.has_pooler:
        problems.append(
            "pooling is pooler, but the backbone has none: pool its first token, and put the "
            "pooler's layer into the head as its dense layer"
        )
    if spec.head.pooled_from == "prompt" and (
        spec.method != "prompt" or spec.head.pooling not in {"first_token", "pooler"}
    ):
        problems.append("pooled_from prompt needs a prompt, and pooling first_token or pooler")
    return problems


def _golden_problems(spec: "PrefixSpec") -> list[str]:
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
            kind = f"a multiple of {expected}" if is_per_token else str(expected)
            problems.append(
                f"golden example {number} has {len(example.logits)} logits, expected {kind}"
            )
    return problems
