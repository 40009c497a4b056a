"""Warnings about rows that show only once the backbone's tokenizer has read them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from prefixes import PrefixSpec
from prefixes.backbone import EncodedInput
from training.errors import at
from training.examples import Examples
from training.sources import Source
from training.tasks import TaskKind
from training.tasks.unaligned_spans import Misfit

_QUOTED: Final = 40
"""Characters of a text that a warning quotes at most."""

Encoded = tuple[Examples[Any], Sequence[EncodedInput]]
"""Rows, and their tokens."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A misfit with the line and the text of its row."""

    line: int
    text: str
    misfit: Misfit

    def __str__(self) -> str:
        start, end = self.misfit.given
        quoted = repr(self.text[start:end][:_QUOTED])
        if not self.misfit.is_inside or self.misfit.whole is None:
            return quoted
        first, last = self.misfit.whole
        return f"{quoted} in {self.text[first:last][:_QUOTED]!r}"


def misfit_warnings(
    kind: TaskKind[Any], spec: PrefixSpec, parts: Sequence[Encoded]
) -> Iterator[str]:
    """Look for slices of a text that no answer can equal, because tokens end elsewhere.

    Several parts of one file are reported together, and rows that two of them share once.
    """
    found: dict[Source, set[_Found]] = {}
    slices: dict[Source, dict[int, int]] = {}
    for examples, encoded in parts:
        if examples.source is not None:
            numbers = map(kind.num_slices, examples.truths)
            slices.setdefault(examples.source, {}).update(zip(examples.lines, numbers, strict=True))
            found.setdefault(examples.source, set()).update(_misfits(kind, spec, examples, encoded))
    for source, misfits in found.items():
        in_order = sorted(misfits, key=lambda one: (one.line, one.misfit.given))
        inside = [one for one in in_order if one.misfit.is_inside]
        dropped = [one for one in in_order if not one.misfit.is_inside]
        total = sum(slices[source].values())
        for ends, some in (
            (f"inside a {kind.answer_unit}", inside),
            ("with characters that the tokenizer drops", dropped),
        ):
            if some:
                lines = dict.fromkeys(one.line for one in some)
                yield (
                    f"{source.name}: {len(some)} of {total} {kind.slices} begin or end {ends}, "
                    f"{at(source, lines)}, such as {some[0]}: {kind.misfit_remedy}"
                )


def _misfits(
    kind: TaskKind[Any],
    spec: PrefixSpec,
    examples: Examples[Any],
    encoded: Sequence[EncodedInput],
) -> Iterator[_Found]:
    rows = zip(examples.lines, examples.inputs, examples.truths, encoded, strict=True)
    for line, fields, truth, texts in rows:
        for misfit in kind.misfits(truth, texts):
            assert spec.sliced_field is not None
            yield _Found(line, str(fields[spec.sliced_field]), misfit)
