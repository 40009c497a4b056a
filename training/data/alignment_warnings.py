"""Warnings about spans that do not match the tokens of the backbone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from prefixes import PrefixSpec
from prefixes.backbone import EncodedInput
from training.errors import at
from training.examples import Examples
from training.sources import Source
from training.tasks import TaskDefinition
from training.tasks.unaligned_spans import UnalignedSpan

_QUOTED: Final = 40
"""Maximum number of characters that a warning quotes."""

Encoded = tuple[Examples[Any], Sequence[EncodedInput]]
"""Rows, and their tokens."""


@dataclass(frozen=True, slots=True)
class _UnalignedRow:
    """An unaligned span with the line and the text of its row."""

    line: int
    text: str
    span: UnalignedSpan

    def __str__(self) -> str:
        start, end = self.span.given
        quoted = repr(self.text[start:end][:_QUOTED])
        if not self.span.is_inside or self.span.whole is None:
            return quoted
        first, last = self.span.whole
        return f"{quoted} in {self.text[first:last][:_QUOTED]!r}"


def alignment_warnings(
    definition: TaskDefinition[Any], spec: PrefixSpec, parts: Sequence[Encoded]
) -> Iterator[str]:
    """Warn about spans that no answer can equal, because tokens end elsewhere.

    Parts of one file are reported together, and rows in both are counted once.
    """
    found: dict[Source, set[_UnalignedRow]] = {}
    slices: dict[Source, dict[int, int]] = {}
    for examples, encoded in parts:
        if examples.source is not None:
            numbers = map(definition.num_spans, examples.truths)
            slices.setdefault(examples.source, {}).update(zip(examples.lines, numbers, strict=True))
            found.setdefault(examples.source, set()).update(
                _unaligned(definition, spec, examples, encoded)
            )
    for source, spans in found.items():
        in_order = sorted(spans, key=lambda one: (one.line, one.span.given))
        inside = [one for one in in_order if one.span.is_inside]
        dropped = [one for one in in_order if not one.span.is_inside]
        total = sum(slices[source].values())
        for ends, some in (
            (f"inside a {definition.answer_unit}", inside),
            ("with characters that the tokenizer drops", dropped),
        ):
            if some:
                lines = dict.fromkeys(one.line for one in some)
                yield (
                    f"{source.name}: {len(some)} of {total} {definition.span_noun} begin or end "
                    f"{ends}, {at(source, lines)}, such as {some[0]}: {definition.alignment_remedy}"
                )


def _unaligned(
    definition: TaskDefinition[Any],
    spec: PrefixSpec,
    examples: Examples[Any],
    encoded: Sequence[EncodedInput],
) -> Iterator[_UnalignedRow]:
    rows = zip(examples.lines, examples.inputs, examples.truths, encoded, strict=True)
    for line, fields, truth, texts in rows:
        for span in definition.unaligned_spans(truth, texts):
            assert spec.sliced_field is not None
            yield _UnalignedRow(line, str(fields[spec.sliced_field]), span)
