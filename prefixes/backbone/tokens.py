"""TextEncoder: tokenizes the inputs of tasks within the tasks' length limits."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from tokenizers import Encoding, Tokenizer

from prefixes.backbone.occluding import occluded, parts_to_leave_out
from prefixes.backbone.text_limits import TextLimits
from prefixes.backbone.tokenizer import BackboneTokenizer
from prefixes.backbone.windows import Cut
from prefixes.characters import whole_characters
from prefixes.encoded import EncodedInput, EncodedText, OccludedPart, Span
from prefixes.errors import InputRejected
from prefixes.lengths import BEGINNING, LengthOptions
from prefixes.occlusion import OcclusionOptions
from prefixes.spec import PrefixSpec, SpecialTokens
from prefixes.template import Fields, InputFields, TextPair, TokenIds

T = TypeVar("T")


class TextEncoder:
    """The backbone's tokenizer. No call changes its state, so threads may share it."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = BackboneTokenizer(tokenizer)

    def encode(
        self,
        spec: PrefixSpec,
        inputs: Sequence[InputFields],
        *,
        lengths: LengthOptions = BEGINNING,
    ) -> list[EncodedInput]:
        """Fill the task's template with each input and tokenize the result.

        An input becomes one text, one per choice in multiple choice, or one per window of a
        question's context or of a long text. The end of a text with far more characters than its
        tokens can need is ignored: 32 per token, 8 with windows, at least 10,000. A template may
        repeat a field many times, and tokenizing text that is truncated anyway could take minutes.

        Raises:
            InputRejected: when an input's fields do not fit the template or have no tokens;
                `index` is that of the input.
            TextTooLong: when texts may not be truncated and an input has more tokens than the task
                allows, or far more characters than these can need.
        """
        (result,) = self.encode_together([EncodeJob(spec, inputs, lengths)])
        if isinstance(result, InputRejected):
            raise result
        return result

    def encode_together(
        self, jobs: Sequence["EncodeJob"]
    ) -> list[list[EncodedInput] | InputRejected]:
        """Encode inputs of many tasks like `encode`, with few calls of the tokenizer.

        Returns:
            The result of each job, or the error of its first invalid input.
        """
        rendered = [_caught(partial(job.render, self._fields)) for job in jobs]
        texts: dict[SpecialTokens, list[str | tuple[str, str]]] = {"control": [], "text": []}
        for job, inputs in zip(jobs, rendered, strict=True):
            if not isinstance(inputs, InputRejected):
                its_texts = texts[job.spec.special_tokens]
                its_texts.extend(text.parts for one in inputs for text in one)
        encodings = {way: self._tokenizer.encode(way, some) for way, some in texts.items()}
        return [
            inputs
            if isinstance(inputs, InputRejected)
            else _caught(partial(job.cut, inputs, encodings[job.spec.special_tokens]))
            for job, inputs in zip(jobs, rendered, strict=True)
        ]

    def _fields(self, given: InputFields) -> Fields:
        return (self._tokenizer.text_of(given.ids),) if isinstance(given, TokenIds) else given

    def digest(self) -> str:
        """Identify the tokenizer, as `BackboneTokenizer.digest`."""
        return self._tokenizer.digest()

    @property
    def unknown_token(self) -> int | None:
        """The id of the token for unknown text; None if the vocabulary covers all text."""
        return self._tokenizer.unknown_token


def _naming_index(index: int, step: Callable[..., T], *arguments: Any) -> T:
    """Run a step for one input, and set the input's index in its errors."""
    try:
        return step(*arguments)
    except InputRejected as error:
        error.index = index
        raise


@dataclass(frozen=True, slots=True)
class _RenderedText:
    """A text or pair for the tokenizer; `is_cut` if it was far too long."""

    parts: str | tuple[str, str]
    is_cut: bool


@dataclass(frozen=True, slots=True)
class EncodeJob:
    """Inputs of one task that are encoded as in `TextEncoder.encode`.

    With `explain`, the parts to leave out of each input are found. With `left_out`, each input is
    encoded without one part.
    """

    spec: PrefixSpec
    inputs: Sequence[InputFields]
    lengths: LengthOptions
    explain: OcclusionOptions | None = None
    left_out: Sequence[OccludedPart] = ()

    def render(self, read: Callable[[InputFields], Fields]) -> list[list[_RenderedText]]:
        """Fill the template with each input."""
        limits = self._limits

        def step(index: int, given: InputFields) -> list[_RenderedText]:
            fields = read(given)
            if self.left_out:
                most = max(limits.characters) + 1  # as for all texts
                fields = occluded(self.spec, fields, self.left_out[index], max_characters=most)
            return _render(limits, fields)

        return [
            _naming_index(index, step, index, fields) for index, fields in enumerate(self.inputs)
        ]

    def cut(
        self, inputs: Sequence[Sequence[_RenderedText]], encodings: Iterator[Encoding]
    ) -> list[EncodedInput]:
        """Select the tokens of each text; `encodings` has those of the texts in order."""
        cut = self._cut if self.explain is None else self._cut_to_explain
        step = partial(cut, self._limits)
        mine = islice(encodings, sum(map(len, inputs)))
        try:
            return [
                tuple(
                    encoded
                    for text in texts
                    for encoded in _naming_index(index, step, index, next(mine), text)
                )
                for index, texts in enumerate(inputs)
            ]
        finally:
            deque(mine, maxlen=0)  # after an error, the next encoding belongs to another job

    @property
    def _limits(self) -> TextLimits:
        return TextLimits.of(self.spec, self.lengths)

    def _cut(
        self, limits: TextLimits, _index: int, encoding: Encoding, text: _RenderedText
    ) -> list[EncodedText]:
        return [_encoded(self.spec, encoding, text, cut) for cut in _cuts(limits, encoding)]

    def _cut_to_explain(
        self, limits: TextLimits, index: int, encoding: Encoding, text: _RenderedText
    ) -> list[EncodedText]:
        assert self.explain is not None
        first, *others = self._cut(limits, index, encoding, text)
        cuts = _cuts(limits, encoding) if first.is_truncated else None
        fields = self.inputs[index]
        parts = parts_to_leave_out(self.spec, fields, self.explain, encoding, cuts)
        return [replace(first, occluded_parts=parts), *others]


def _caught(step: Callable[[], T]) -> T | InputRejected:
    try:
        return step()
    except InputRejected as error:
        return error


def _render(limits: TextLimits, fields: Fields) -> list[_RenderedText]:
    # One more than the limit, which shows that it is exceeded.
    pairs = limits.spec.input.render(fields, max_characters=max(limits.characters) + 1)
    return [_bounded(limits, pair) for pair in pairs]


def _bounded(limits: TextLimits, texts: TextPair) -> _RenderedText:
    is_cut = limits.check_characters(texts)
    (text, pair), (first, second) = texts, limits.characters
    parts = text[:first] if pair is None else (text[:first], pair[:second])
    return _RenderedText(parts, is_cut)


def _cuts(limits: TextLimits, encoding: Encoding) -> list[Cut]:
    """Select the tokens that are kept: the beginning of a text, or those of its windows."""
    if not encoding.ids:
        raise InputRejected("The input has no tokens: expected text that the backbone can read")
    return limits.cuts(encoding.sequence_ids)


def _encoded(spec: PrefixSpec, encoding: Encoding, text: _RenderedText, cut: Cut) -> EncodedText:
    token_ids, type_ids = encoding.ids, encoding.type_ids
    kept = cut.tokens
    ids = [token_ids[i] for i in kept]
    types = [type_ids[i] if spec.token_types else 0 for i in kept]
    is_truncated = cut.is_truncated or text.is_cut
    if spec.sliced_field is None:
        return EncodedText(ids, types, is_truncated, window=cut.window)
    part = 0 if spec.answers is None else 1
    source = text.parts if isinstance(text.parts, str) else text.parts[part]
    owners, offsets, words = encoding.sequence_ids, encoding.offsets, encoding.word_ids
    is_own = [owners[i] == part for i in kept]
    spans = [
        _span(source, offsets[i]) if own else None for i, own in zip(kept, is_own, strict=True)
    ]
    numbers = [words[i] if own else None for i, own in zip(kept, is_own, strict=True)]
    return EncodedText(ids, types, is_truncated, spans, numbers, window=cut.window)


def _span(source: str, offsets: Span) -> Span | None:
    start, end = whole_characters(source, offsets)
    return (start, end) if start < end else None
