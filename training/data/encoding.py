"""Packed tokenized texts. As lists, they would take many times the memory of their file."""

from array import array
from collections.abc import Iterator
from typing import Any, Final

from prefixes import PrefixSpec
from prefixes.answers import whole_texts
from prefixes.backbone import Backbone, EncodedInput, EncodedText
from prefixes.errors import InputRejected
from prefixes.lengths import BEGINNING, LengthOptions
from training.examples import Examples
from training.files.packed import LazySequence, PackedList
from training.tasks import definition_of

_ROWS_AT_ONCE: Final = 256
"""Number of rows tokenized at a time. As objects, texts and tokens take much memory."""


class PackedTexts(LazySequence[EncodedText]):
    """Tokenized texts, packed."""

    __slots__ = ("_fields",)

    def __init__(self) -> None:
        self._fields = PackedList[tuple[Any, ...]]()

    def append(self, text: EncodedText) -> None:
        """Add a text at the end."""
        types = bytes(text.token_type_ids)
        self._fields.append(
            (text.token_ids, types, text.is_truncated, text.spans, text.words, text.window)
        )

    def __len__(self) -> int:
        return len(self._fields)

    def at(self, place: int) -> EncodedText:
        """Return a text."""
        token_ids, types, is_truncated, spans, words, window = self._fields.at(place)
        return EncodedText(token_ids, list(types), is_truncated, spans, words, window=window)


class EncodedRows(LazySequence[EncodedInput]):
    """The texts of all rows, end to end. The texts of row `n` end at `ends[n]`."""

    __slots__ = ("ends", "texts")

    def __init__(self, texts: PackedTexts) -> None:
        self.texts = texts
        self.ends = array("Q")

    def append(self, texts: EncodedInput) -> None:
        """Add a row at the end."""
        for text in texts:
            self.texts.append(text)
        self.ends.append(len(self.texts))

    def whole(self) -> "EncodedRows":
        """Return the rows with the windows of each long text put together."""
        if not self.ends or self.texts[0].window is None:
            return self
        rows = EncodedRows(PackedTexts())
        for texts in self:
            rows.append(whole_texts(texts))
        return rows

    def long_rows(self) -> dict[int, EncodedInput]:
        """Return the windows of each row whose text has several, by the number of the row."""
        if not self.ends or self.texts[0].window is None:
            return {}
        return {row: texts for row, texts in enumerate(self) if len(texts) > 1}

    def __len__(self) -> int:
        return len(self.ends)

    def at(self, place: int) -> EncodedInput:
        """Return the texts of a row."""
        start = self.ends[place - 1] if place else 0
        return tuple(map(self.texts.at, range(start, self.ends[place])))


def encode_rows(
    backbone: Backbone,
    spec: PrefixSpec,
    examples: Examples[Any],
    lengths: LengthOptions = BEGINNING,
) -> EncodedRows:
    """Tokenize all texts of each example.

    Raises:
        InputRejected: as `TextEncoder.encode`.
    """
    rows = EncodedRows(PackedTexts())
    for encoded in _encoded(backbone, spec, examples, lengths):
        rows.append(encoded)
    return rows


def _encoded(
    backbone: Backbone, spec: PrefixSpec, examples: Examples[Any], lengths: LengthOptions
) -> Iterator[EncodedInput]:
    for start in range(0, len(examples), _ROWS_AT_ONCE):
        some = examples.take(range(start, min(start + _ROWS_AT_ONCE, len(examples))))
        try:
            yield from definition_of(spec.task_type).encode(backbone.texts, spec, some, lengths)
        except InputRejected as error:
            error.index = None if error.index is None else start + error.index
            raise
