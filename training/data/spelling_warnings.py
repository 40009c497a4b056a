"""Warnings about the spelling of labels and texts."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from training.data.row_warnings import Part
from training.errors import few
from training.examples import Layout
from training.files.cell_literals import parse_list
from training.tasks import TaskDefinition
from training.tasks.labels import likeness

_SEPARATORS: Final = (",", ";", "|", "/", "\t")
_CLASSES: Final = {None, "single_label_classification", "multi_label_classification"}
_MISSING: Final = frozenset(
    {"#N/A", "#NA", "-NaN", "-nan", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan"}
    | {"null", "undefined"}
)
"""Spellings of a missing value. pandas reads most of them as one."""


def label_warnings(definition: TaskDefinition[Any], layout: Layout, part: Part) -> tuple[str, ...]:
    """Check the labels of the training rows."""
    counts = definition.label_counts(layout.labels, part.examples.truths) or {}
    several = _several(layout, part, counts) if _is_classification(definition, layout) else ()
    return (
        *_alike(definition, layout, part, counts),
        *_missing(definition, layout, part, counts),
        *several,
    )


def text_warnings(part: Part) -> Iterator[str]:
    """Warn about texts that look like missing values."""
    rows = [
        row
        for row, fields in enumerate(part.examples.inputs)
        if any(isinstance(text, str) and text.strip() in _MISSING for text in fields.values())
    ]
    if rows:
        yield (
            f"{part.name}: {len(rows)} row(s) have a text that looks like a missing value, "
            f"{part.at(rows)}: correct or remove these rows"
        )


def _is_classification(definition: TaskDefinition[Any], layout: Layout) -> bool:
    return definition.labels_are_of_texts and layout.problem_type in _CLASSES


def _alike(
    definition: TaskDefinition[Any], layout: Layout, part: Part, counts: Mapping[str, int]
) -> Iterator[str]:
    """Warn about labels that look the same to a reader."""
    spellings: dict[str, list[str]] = {}
    for label in counts:
        spellings.setdefault(likeness(label), []).append(label)
    groups = [
        _named(definition, layout, part, sorted(names, key=lambda name: -counts[name]), counts)
        for names in spellings.values()
        if len(names) > 1
    ]
    if groups:
        yield (
            f"{part.name}: different labels that look like one: {few(groups)}: spell each label "
            "in one way"
        )


def _missing(
    definition: TaskDefinition[Any], layout: Layout, part: Part, counts: Mapping[str, int]
) -> Iterator[str]:
    names = [label for label, count in counts.items() if label in _MISSING and count]
    if names:
        yield (
            f"{part.name}: labels that look like missing values: "
            f"{_named(definition, layout, part, names, counts)}: correct or remove these rows"
        )


def _several(layout: Layout, part: Part, counts: Mapping[str, int]) -> Iterator[str]:
    """Warn about labels that look like several labels, and about rows that never have several."""
    is_multi = layout.problem_type == "multi_label_classification"
    found = {label: sign for label in counts if (sign := _sign_in(label, counts)) is not None}
    if is_multi and not found and not _has_several(part):
        found = {label: sign for label in counts for sign in _SEPARATORS[:3] if sign in label}
        yield f"{part.name}: no row has several labels: {_no_several(layout, found)}"
    elif found:
        names = [f"{label!r} ({counts[label]})" for label in found]
        yield (
            f"{part.name}: labels that look like several in one: {few(names)}: "
            + (
                ""
                if is_multi
                else "if a row may have several labels, set problem_type = "
                "multi_label_classification; "
            )
            + _remedy(list(found.values()))
        )


def _sign_in(label: str, counts: Mapping[str, int]) -> str | None:
    """Return the separator of labels within a label; "" if the label is a list."""
    if parse_list(label):
        return ""
    for sign in _SEPARATORS:
        parts = [part.strip() for part in label.split(sign)]
        if len(parts) > 1 and all(part in counts for part in parts):
            return sign
    return None


def _has_several(part: Part) -> bool:
    return any(sum(truth) > 1 for truth in part.examples.truths)


def _no_several(layout: Layout, signs: Mapping[str, str]) -> str:
    if not signs:
        return "set problem_type = single_label_classification if a row has exactly one"
    usual = _usual(list(signs.values()))
    return (
        f"{len(signs)} label(s) contain {usual!r}, as {next(iter(signs))!r}, while label_separator "
        f"is {layout.separator!r}: {_remedy(list(signs.values()))}"
    )


def _remedy(signs: Sequence[str]) -> str:
    usual = _usual(signs)
    return f"set label_separator = {usual!r}" if usual else "lists in cells are then read as lists"


def _usual(signs: Sequence[str]) -> str:
    return max(signs, key=signs.count)


def _named(
    definition: TaskDefinition[Any],
    layout: Layout,
    part: Part,
    names: Sequence[str],
    counts: Mapping[str, int],
) -> str:
    """Describe labels, each with its count and a few of its rows."""
    rows: dict[str, list[int]] = {name: [] for name in names}
    for row, truth in enumerate(part.examples.truths):
        for label in rows.keys() & set(definition.labels_in(layout.labels, truth)):
            rows[label].append(row)
    named = [f"{name!r} ({counts[name]}, {part.at(rows[name])})" for name in names if rows[name]]
    return few(named or list(map(repr, names)))
