"""TextEncoder: tokenizes the inputs of tasks within the tasks' length limits."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any, Final, TypeVar

from tokenizers import Encoding, Tokenizer

from prefixes.backbone.occluding import occluded, parts_to_leave_out
from prefixes.backbone.tokenizer import BackboneTokenizer
from prefixes.backbone.windows import MAX_WINDOWS, Cut, first_cut, window_cuts
from prefixes.characters import whole_characters
from prefixes.encoded import EncodedInput, EncodedText, OccludedPart, Span
from prefixes.errors import InputRejected, TextTooLong
from prefixes.occlusion import OcclusionOptions
from prefixes.spec import PrefixSpec, SpecialTokens
from prefixes.template import Fields, InputFields, TextPair, TokenIds

T = TypeVar("T")

_CHARACTERS_PER_TOKEN: Final = 32
_CONTEXT_CHARACTERS_PER_TOKEN: Final = 8
_MIN_CHARACTERS: Final = 10_000


class TextEncoder:
    """The backbone's tokenizer. No call changes its state, so threads may share it."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = BackboneTokenizer(tokenizer)

    def encode(
        self, spec: PrefixSpec, inputs: Sequence[InputFields], *, truncate: bool = True
    ) -> list[EncodedInput]:
        """Fill the task's template with each input and tokenize the result.

        An input becomes one text, one per choice in multiple choice, or one per window of a
        question's context. Of a text with far more characters than its tokens can need (32 per
        token, at least 10,000), the end is ignored: a template may repeat a field many times, and
        tokenizing text that is truncated anyway could take minutes.

        Raises:
            InputRejected: when an input's fields do not fit the template or have no tokens;
                `index` is that of the input.
            TextTooLong: when `truncate` is false and an input has more tokens than the task
                allows, or far more characters than these can need.
        """
        (result,) = self.encode_together([EncodeJob(spec, inputs, truncate=truncate)])
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
    truncate: bool
    explain: OcclusionOptions | None = None
    left_out: Sequence[OccludedPart] = ()

    def render(self, read: Callable[[InputFields], Fields]) -> list[list[_RenderedText]]:
        """Fill the template with each input."""

        def step(index: int, given: InputFields) -> list[_RenderedText]:
            fields = read(given)
            if self.left_out:
                most = max(_max_characters(self.spec)) + 1  # as for all texts
                fields = occluded(self.spec, fields, self.left_out[index], max_characters=most)
            return _render(self.spec, fields, truncate=self.truncate)

        return [
            _naming_index(index, step, index, fields) for index, fields in enumerate(self.inputs)
        ]

    def cut(
        self, inputs: Sequence[Sequence[_RenderedText]], encodings: Iterator[Encoding]
    ) -> list[EncodedInput]:
        """Select the tokens of each text; `encodings` has those of the texts in order."""
        step = self._cut if self.explain is None else self._cut_to_explain
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

    def _cut(self, _index: int, encoding: Encoding, text: _RenderedText) -> list[EncodedText]:
        cuts = _cuts(self.spec, encoding, truncate=self.truncate)
        return [_encoded(self.spec, encoding, text, cut) for cut in cuts]

    def _cut_to_explain(
        self, index: int, encoding: Encoding, text: _RenderedText
    ) -> list[EncodedText]:
        assert self.explain is not None
        first, *others = self._cut(index, encoding, text)
        cuts = _cuts(self.spec, encoding, truncate=True) if first.is_truncated else None
        fields = self.inputs[index]
        parts = parts_to_leave_out(self.spec, fields, self.explain, encoding, cuts)
        return [replace(first, occluded_parts=parts), *others]


def _caught(step: Callable[[], T]) -> T | InputRejected:
    try:
        return step()
    except InputRejected as error:
        return error


def _render(spec: PrefixSpec, fields: Fields, *, truncate: bool) -> list[_RenderedText]:
    limits = _max_characters(spec)
    # One more than the limit, which shows that it is exceeded.
    pairs = spec.input.render(fields, max_characters=max(limits) + 1)
    return [_bounded(pair, limits, truncate=truncate) for pair in pairs]


def _max_characters(spec: PrefixSpec) -> tuple[int, int]:
    """Return the limits of characters of a text and of its second part, which may have windows."""
    usual = max(_MIN_CHARACTERS, _CHARACTERS_PER_TOKEN * spec.max_length)
    if spec.answers is None:
        return usual, usual
    return usual, max(usual, _CONTEXT_CHARACTERS_PER_TOKEN * spec.max_length * MAX_WINDOWS)


def _bounded(texts: TextPair, limits: tuple[int, int], *, truncate: bool) -> _RenderedText:
    text, pair = texts
    exceeded = [limit for part, limit in zip(texts, limits, strict=True) if len(part or "") > limit]
    if exceeded and not truncate:
        raise TextTooLong(
            f"The input has more than {exceeded[0]} characters, far more than the task's tokens "
            "can need: shorten it, or enable truncation"
        )
    first, second = limits
    parts = text[:first] if pair is None else (text[:first], pair[:second])
    return _RenderedText(parts, is_cut=bool(exceeded))


def _cuts(spec: PrefixSpec, encoding: Encoding, *, truncate: bool) -> list[Cut]:
    """Select the tokens that are kept: the beginning of a text, or the windows of a context."""
    if not encoding.ids:
        raise InputRejected("The input has no tokens: expected text that the backbone can read")
    owners = encoding.sequence_ids
    cuts = (
        [first_cut(owners, spec.max_length)]
        if spec.answers is None
        else window_cuts(owners, spec.max_length, stride=spec.answers.stride)
    )
    if not truncate and any(cut.is_truncated for cut in cuts):
        raise TextTooLong(
            f"The input has {len(encoding.ids)} tokens, the task allows at most {_limit(spec)}: "
            "shorten it, or enable truncation"
        )
    return cuts


def _limit(spec: PrefixSpec) -> str:
    if spec.answers is None:
        return str(spec.max_length)
    return f"{MAX_WINDOWS} windows of {spec.max_length}, half of each for the question"


def _encoded(spec: PrefixSpec, encoding: Encoding, text: _RenderedText, cut: Cut) -> EncodedText:
    token_ids, type_ids = encoding.ids, encoding.type_ids
    kept = cut.tokens
    ids = [token_ids[i] for i in kept]
    types = [type_ids[i] if spec.token_types else 0 for i in kept]
    is_truncated = cut.is_truncated or text.is_cut
    if spec.sliced_field is None:
        return EncodedText(ids, types, is_truncated)
    part = 0 if spec.answers is None else 1
    source = text.parts if isinstance(text.parts, str) else text.parts[part]
    owners, offsets, words = encoding.sequence_ids, encoding.offsets, encoding.word_ids
    is_own = [owners[i] == part for i in kept]
    spans = [
        _span(source, offsets[i]) if own else None for i, own in zip(kept, is_own, strict=True)
    ]
    numbers = [words[i] if own else None for i, own in zip(kept, is_own, strict=True)]
    return EncodedText(ids, types, is_truncated, spans, numbers)


def _span(source: str, offsets: Span) -> Span | None:
    start, end = whole_characters(source, offsets)
    return (start, end) if start < end else None
