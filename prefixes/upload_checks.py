"""Checks of a description when a file is uploaded: labels, the input template, golden examples.

They do not belong to `PrefixSpec`: versions that were published before them must stay readable.
"""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final

import regex

from prefixes.characters import is_blank
from prefixes.findings import Finding
from prefixes.spec import PrefixSpec
from prefixes.template import template_fields

_MAX_LISTED: Final = 20
"""Maximum number of findings of one kind. A file may have ten thousand labels."""

_INVISIBLE: Final = regex.compile(r"[\p{Cc}\p{Default_Ignorable_Code_Point}]")
_SCRIPTS: Final = {name: regex.compile(rf"\p{{{name}}}") for name in ("Latin", "Cyrillic", "Greek")}
"""Scripts with letters that look alike."""
_PLACEHOLDER: Final = regex.compile(r"label[_ -]?\d+", regex.IGNORECASE)


def upload_defects(spec: PrefixSpec) -> tuple[Finding, ...]:
    """List the labels that no reader could see or tell from another one. They are not published."""
    return (*_first(_blank_labels(spec.labels)), *_first(_same_looking_labels(spec.labels)))


def upload_warnings(spec: PrefixSpec) -> tuple[Finding, ...]:
    """List what is allowed in a file, but probably a mistake."""
    kinds = (
        _padded_labels(spec.labels),
        _similar_labels(spec.labels),
        _mixed_scripts(spec.labels),
        _placeholder_labels(spec.labels),
        _template_warnings(spec),
        _golden_warnings(spec),
    )
    return tuple(finding for kind in kinds for finding in _first(kind))


def _first(findings: Iterator[Finding]) -> Iterator[Finding]:
    return islice(findings, _MAX_LISTED)


def _blank_labels(labels: Sequence[str]) -> Iterator[Finding]:
    for place, label in enumerate(labels):
        if is_blank(label):
            yield Finding(
                "blank_label",
                f"spec.labels[{place}]",
                "a label with visible characters",
                ascii(label)[:200],
                "name the label, and train again",
            )


def _same_looking_labels(labels: Sequence[str]) -> Iterator[Finding]:
    """Find labels that differ only in the encoding of their characters, or in invisible ones."""
    for group in _groups(labels, _shown):
        yield _group_finding(
            "same_looking_labels", labels, group, "labels that look different", "rename all but one"
        )


def _similar_labels(labels: Sequence[str]) -> Iterator[Finding]:
    """Find labels that differ only in case, spacing or punctuation."""
    shown = {place: _shown(label) for place, label in enumerate(labels)}
    for group in _groups(labels, _loosened):
        if len({shown[place] for place in group}) > 1:
            yield _group_finding(
                "similar_labels",
                labels,
                group,
                "labels that differ in more than case, spacing and punctuation",
                "check that the training data spells each label in one way",
            )


def _padded_labels(labels: Sequence[str]) -> Iterator[Finding]:
    for place, label in enumerate(labels):
        if label != label.strip() and not is_blank(label):
            yield Finding(
                "padded_label",
                f"spec.labels[{place}]",
                "a label without white space around it",
                ascii(label)[:200],
                "callers must compare labels with this white space",
            )


def _mixed_scripts(labels: Sequence[str]) -> Iterator[Finding]:
    for place, label in enumerate(labels):
        found = [name for name, letter in _SCRIPTS.items() if letter.search(label)]
        if len(found) > 1:
            yield Finding(
                "mixed_scripts",
                f"spec.labels[{place}]",
                "letters of one script",
                f"{' and '.join(found)} in {ascii(label)[:200]}",
                "some of their letters look alike: check how the label was typed",
            )


def _placeholder_labels(labels: Sequence[str]) -> Iterator[Finding]:
    found = [label for label in labels if _PLACEHOLDER.fullmatch(label)]
    if found:
        yield Finding(
            "placeholder_labels",
            "spec.labels",
            "names with a meaning",
            ", ".join(found[:3]) + (", ..." if len(found) > 3 else ""),
            "set the names of the labels before training or importing",
        )


def _template_warnings(spec: PrefixSpec) -> Iterator[Finding]:
    for part in ("text", "text_pair"):
        counts = Counter(template_fields(getattr(spec.input, part) or ""))
        for name in (name for name, number in counts.items() if number > 1):
            yield Finding(
                "repeated_field",
                f"spec.input.{part}",
                "each field once",
                f"{counts[name]} times {{{name}}}",
                "each repetition costs the tokens of the field again",
            )
    text, pair = (
        set(template_fields(one or "")) for one in (spec.input.text, spec.input.text_pair)
    )
    if pair and not pair - text:
        yield Finding(
            "unused_pair",
            "spec.input.text_pair",
            "a field that `text` does not have",
            ", ".join(sorted(pair)),
            "the second text says nothing new: check the names of its fields",
        )


def _golden_warnings(spec: PrefixSpec) -> Iterator[Finding]:
    if not spec.golden:
        yield Finding(
            "no_golden_examples",
            "spec.golden",
            "at least one golden example",
            "no example",
            "without examples, nothing shows that the server computes what the trainer did",
        )


def _group_finding(
    code: str, labels: Sequence[str], places: Sequence[int], expected: str, hint: str
) -> Finding:
    shown = ", ".join(ascii(labels[place])[:60] for place in places[:4])
    return Finding(code, f"spec.labels[{places[-1]}]", expected, shown, hint)


def _groups(labels: Sequence[str], key: Callable[[str], str]) -> list[list[int]]:
    """Group the places of labels that have the same key, and return groups of two and more."""
    found: dict[str, list[int]] = defaultdict(list)
    for place, label in enumerate(labels):
        if not is_blank(label):
            found[key(label)].append(place)
    return [group for group in found.values() if len(group) > 1]


def _shown(label: str) -> str:
    """Return what a reader sees: characters that are encoded differently become equal."""
    visible = _INVISIBLE.sub("", unicodedata.normalize("NFKC", label))
    return " ".join(visible.split())


def _loosened(label: str) -> str:
    return regex.sub(r"[\s\p{P}\p{S}]", "", _shown(label).casefold()) or _shown(label)
