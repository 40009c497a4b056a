"""Extends entities that begin or end inside a word to whole words."""

from collections.abc import Hashable, Iterator
from dataclasses import replace
from typing import Any

from prefixes import PrefixSpec
from prefixes.backbone import Backbone
from prefixes.lengths import AS_SERVED
from training.data.encoding import encode_rows
from training.errors import at
from training.examples import Examples, TaskData
from training.files.packed import PackedList
from training.sources import Source
from training.tasks import definition_of


def snapped(spec: PrefixSpec, examples: Examples[Any], backbone: Backbone) -> Examples[Any]:
    """Extend the entities of all rows to whole words, up to where a text is truncated."""
    definition = definition_of(spec.task_type)
    encoded = encode_rows(backbone, spec, examples, AS_SERVED).whole()
    truths = (definition.snapped(*pair) for pair in zip(examples.truths, encoded, strict=True))
    return replace(examples, truths=PackedList(truths))


def snapped_data(spec: PrefixSpec, data: TaskData, backbone: Backbone) -> TaskData:
    """Extend the entities of all parts to whole words, and add a warning with their number."""
    parts = {name: snapped(spec, part, backbone) for name, part in data.parts.items()}
    moved: dict[Source, set[tuple[int, Hashable]]] = {}
    for name, after in parts.items():
        if after.source is not None:
            moved.setdefault(after.source, set()).update(_moved(data.parts[name], after))
    warnings = (
        f"{source.name}: {len(found)} entities were extended to whole words, "
        f"{at(source, sorted({line for line, _ in found}))}"
        for source, found in moved.items()
        if found
    )
    return replace(
        data,
        train=parts["train"],
        validation=parts["validation"],
        test=parts.get("test"),
        warnings=(*data.warnings, *warnings),
    )


def was_snapped(spec: PrefixSpec) -> bool:
    """Return whether a prefix was trained with `snap_to_words`."""
    return spec.provenance is not None and spec.provenance.recipe.get("snap_to_words") is True


def _moved(before: Examples[Any], after: Examples[Any]) -> Iterator[tuple[int, Hashable]]:
    """Yield each extended span with the line of its row."""
    for line, old, new in zip(before.lines, before.truths, after.truths, strict=True):
        yield from ((line, one) for one in set(old) - set(new))
