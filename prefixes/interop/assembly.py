"""ForeignPrefix: the content of a foreign folder, and its conversion to a prefix."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from pydantic import JsonValue, ValidationError
from torch import Tensor

from prefixes.backbone import Backbone
from prefixes.interop.errors import ConversionRefused
from prefixes.interop.heads import ForeignHead
from prefixes.interop.report import ImportedPrefix, Notes
from prefixes.prefix import Prefix
from prefixes.spec import (
    AnswerSpec,
    Method,
    PrefixSpec,
    ProblemType,
    Provenance,
    TaskType,
    traits_of,
)
from prefixes.template import InputTemplate

TEMPLATES: Final[dict[TaskType, InputTemplate]] = {
    "sequence_classification": InputTemplate(),
    "token_classification": InputTemplate(),
    "multiple_choice": InputTemplate(text="{premise}", text_pair="{choice}"),
    "question_answering": InputTemplate(text="{question}", text_pair="{context}"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """The user's settings, which override what the files say.

    Without `max_length`, a text may use all positions that the prefix leaves free.
    """

    labels: tuple[str, ...] | None = None
    problem_type: ProblemType | None = None
    max_length: int | None = None
    template: InputTemplate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignPrefix:
    """The content of a foreign folder.

    `tensors` holds `prefix.keys` and `prefix.values`, or `prompt.embeddings`.
    """

    tool: str
    task_type: TaskType
    method: Method = "prefix"
    tensors: Mapping[str, Tensor]
    prefix_length: int
    position_offset: int
    head: ForeignHead
    problem_type: ProblemType | None = None
    labels: tuple[str, ...] | None = None
    template: InputTemplate | None = None
    token_types: bool = True
    recipe: dict[str, JsonValue] = field(default_factory=dict)


def template_of(text: str | None, text_pair: str | None) -> InputTemplate | None:
    """Return the template that the user gave, if any.

    Raises:
        ConversionRefused: when it is not valid.
    """
    if text is None and text_pair is None:
        return None
    try:
        return InputTemplate(text=text or "{text}", text_pair=text_pair)
    except ValidationError as error:
        raise ConversionRefused(f"Invalid template: {error.errors()[0]['msg']}") from error


def meaningful_labels(by_id: object) -> tuple[str, ...] | None:
    """Return the names in a config's `id2label` in order; None if they are only numbered."""
    if not isinstance(by_id, dict) or not by_id:
        return None
    names = [by_id.get(str(number), by_id.get(number)) for number in range(len(by_id))]
    if any(not isinstance(name, str) for name in names):
        return None
    if all(name == f"LABEL_{number}" for number, name in enumerate(names)):
        return None
    return tuple(map(str, names))


def assemble(
    backbone: Backbone, foreign: ForeignPrefix, options: ImportOptions, notes: Notes
) -> ImportedPrefix:
    """Make a prefix of the foreign content and the user's options, and validate it.

    Raises:
        ConversionRefused: when something that a prefix needs is missing or inconsistent.
        PrefixRejected: when the tensors are not valid in a prefix file, such as NaN.
    """
    spec = _described(backbone, foreign, options, notes)
    tensors = {**foreign.tensors, **{f"head.{k}": v for k, v in foreign.head.tensors.items()}}
    arrays = {
        name: np.ascontiguousarray(tensor.detach().float().cpu().numpy())
        for name, tensor in tensors.items()
    }
    written = Prefix(spec, arrays).to_bytes()
    return ImportedPrefix(Prefix.from_bytes(written, fits=[backbone.fingerprint]), notes.report())


def _described(
    backbone: Backbone, foreign: ForeignPrefix, options: ImportOptions, notes: Notes
) -> PrefixSpec:
    facts = backbone.fingerprint
    taken = foreign.position_offset if foreign.method == "prefix" else foreign.prefix_length
    problem_type = _problem_type(foreign, options)
    fields: dict[str, Any] = {
        "task_type": foreign.task_type,
        "method": foreign.method,
        "problem_type": problem_type,
        "labels": _labels(foreign, options, problem_type, notes),
        "prefix_length": foreign.prefix_length,
        "position_offset": foreign.position_offset,
        "max_length": options.max_length or facts.max_positions - taken,
        "head": foreign.head.spec,
        "input": _template(foreign, options, notes),
        "token_types": foreign.token_types,
        "answers": AnswerSpec() if traits_of(foreign.task_type).has_answers else None,
        "backbone": facts,
        "provenance": Provenance(
            created_at=datetime.now(UTC), tool=foreign.tool, recipe=foreign.recipe
        ),
    }
    try:
        spec = PrefixSpec(**fields)
    except ValidationError as error:
        reasons = "; ".join(
            ": ".join([*map(str, detail["loc"]), detail["msg"]]) for detail in error.errors()[:5]
        )
        raise ConversionRefused(f"This content does not make a valid prefix: {reasons}") from error
    notes.found.append(
        f"Texts may have {spec.max_length} tokens; their positions start at {spec.position_offset}."
    )
    return spec


def _problem_type(foreign: ForeignPrefix, options: ImportOptions) -> ProblemType | None:
    if not traits_of(foreign.task_type).has_problem_type:
        if options.problem_type is not None:
            raise ConversionRefused(
                f"problem_type belongs to sequence_classification, the task type is "
                f"{foreign.task_type}: omit it"
            )
        return None
    by_size: ProblemType = (
        "regression" if foreign.head.num_outputs == 1 else "single_label_classification"
    )
    return options.problem_type or foreign.problem_type or by_size


def _labels(
    foreign: ForeignPrefix, options: ImportOptions, problem_type: ProblemType | None, notes: Notes
) -> tuple[str, ...]:
    expected = foreign.head.num_outputs
    traits = traits_of(foreign.task_type)
    if not traits.has_labels:
        if options.labels is not None:
            raise ConversionRefused(f"The task type {foreign.task_type} has no labels: omit them")
        if expected != traits.outputs:
            raise ConversionRefused(
                f"A head for {foreign.task_type} must have {traits.outputs} outputs, found "
                f"{expected}"
            )
        return ()
    labels = options.labels or foreign.labels
    if labels is None and problem_type == "regression":
        labels = tuple(f"score{n or ''}" for n in range(expected))
    if labels is None:
        raise ConversionRefused(
            f"The files do not name the labels: give the names of all {expected}, in order "
            "(--labels)"
        )
    if len(labels) != expected:
        raise ConversionRefused(
            f"The head has {expected} outputs: expected as many labels, found {len(labels)}"
        )
    notes.found.append(f"Labels, in order: {', '.join(labels[:20])}{'...' * (expected > 20)}.")
    return labels


def _template(foreign: ForeignPrefix, options: ImportOptions, notes: Notes) -> InputTemplate:
    if options.template is not None:
        return options.template
    template = foreign.template or TEMPLATES[foreign.task_type]
    if foreign.template is None:
        notes.lost.append(
            f"The input template: the files do not have it, and {_shown(template)} is assumed. "
            "Give the template if the training used another one."
        )
    return template


def _shown(template: InputTemplate) -> str:
    pair = "" if template.text_pair is None else f" and {template.text_pair}"
    return f"{template.text}{pair}"
