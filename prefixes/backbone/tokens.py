"""TextEncoder: one text or a pair to tokens, within the length rules of the task."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from tokenizers import Encoding, Tokenizer

from prefixes.errors import InputRejected, TextTooLong
from prefixes.spec import Fields, PrefixSpec

T = TypeVar("T")

_CHARACTERS_PER_TOKEN: Final = 32
_MIN_CHARACTERS: Final = 10_000
_TEXTS_AT_ONCE: Final = 32
"""Texts whose whole encodings are in memory at once; they take some hundred bytes per token."""

_PROBES: Final = (
    "The quick brown fox, aged 42, jumps over 3.5 lazy dogs!",
    "naïve Ünïcödé cafés; ΑΒΓ кириллица 漢字かな 한국어",
    "don't   collapse\twhitespace\nplease_or-do",
    "🙂 👩\u200d🔬 e\u0301 ﬁ ½",
)


@dataclass(frozen=True, slots=True)
class EncodedText:
    """A text's tokens, special tokens included; `is_truncated` says that its end was cut off."""

    token_ids: Sequence[int]
    token_type_ids: Sequence[int]
    is_truncated: bool = False


class TextEncoder:
    """The backbone's tokenizer; no call changes its state, so threads may share it."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Take a private copy, without the truncation and padding that its file may ask for."""
        self._tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def encode(
        self, spec: PrefixSpec, inputs: Sequence[Fields], *, truncate: bool = True
    ) -> list[EncodedText]:
        """Render each input through the task's template and tokenize it.

        Of a text with far more characters than its tokens can need (32 per token, at least
        10,000), the end is not looked at: a template may repeat a field many times, and to
        tokenize what is cut off anyway would take minutes.

        Raises:
            InputRejected: when an input's fields do not fit the template or give no token;
                `index` names it.
            TextTooLong: when `truncate` is false and an input has more than `max_length` tokens,
                or far more characters than these can need.
        """
        render = partial(_render, spec, truncate=truncate)
        rendered = [_naming_index(index, render, fields) for index, fields in enumerate(inputs)]
        encodings = self._encodings([text.parts for text in rendered])
        fit = partial(_fit, max_length=spec.max_length, truncate=truncate)
        return [
            _naming_index(index, fit, encoding, text.is_cut)
            for index, (encoding, text) in enumerate(zip(encodings, rendered, strict=True))
        ]

    def _encodings(self, texts: Sequence[str | tuple[str, str]]) -> Iterator[Encoding]:
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            yield from self._tokenizer.encode_batch(texts[start : start + _TEXTS_AT_ONCE])

    def digest(self) -> str:
        """Identify the tokenizer by its vocabulary and by what it does to a few probing texts.

        What it does, not how its file is written: a new release of the tokenizers library may
        write the same tokenizer differently.
        """
        digest = hashlib.sha256()
        for token, number in sorted(self._tokenizer.get_vocab(with_added_tokens=True).items()):
            digest.update(f"{number} {token}\n".encode())
        for encoding in self._tokenizer.encode_batch([*_PROBES, (_PROBES[0], _PROBES[1])]):
            digest.update(f"{encoding.ids} {encoding.type_ids}\n".encode())
        return digest.hexdigest()


def _naming_index(index: int, step: Callable[..., T], *arguments: Any) -> T:
    """Take a step for one input; what is wrong with it carries the input's index."""
    try:
        return step(*arguments)
    except InputRejected as error:
        error.index = index
        raise


@dataclass(frozen=True, slots=True)
class _Rendered:
    """A text or a pair as the tokenizer gets it; `is_cut` says that it was too long by far."""

    parts: str | tuple[str, str]
    is_cut: bool


def _render(spec: PrefixSpec, fields: Fields, *, truncate: bool) -> _Rendered:
    limit = max(_MIN_CHARACTERS, _CHARACTERS_PER_TOKEN * spec.max_length)
    text, pair = spec.input.render(fields)
    longest = max(len(text), len(pair or ""))
    if longest > limit and not truncate:
        raise TextTooLong(
            f"The input has {longest} characters, the task takes at most {limit} and "
            f"{spec.max_length} tokens: shorten it, or ask for truncation"
        )
    parts = text[:limit] if pair is None else (text[:limit], pair[:limit])
    return _Rendered(parts, is_cut=longest > limit)


def _fit(
    encoding: Encoding,
    is_cut: bool,  # noqa: FBT001 - filled in by place
    *,
    max_length: int,
    truncate: bool,
) -> EncodedText:
    token_ids, type_ids = encoding.ids, encoding.type_ids
    length = len(token_ids)
    if length == 0:
        raise InputRejected("The input has no tokens: expected text that the backbone can read")
    if length <= max_length:
        return EncodedText(token_ids, type_ids, is_truncated=is_cut)
    if not truncate:
        raise TextTooLong(
            f"The input has {length} tokens, the task takes at most {max_length}: "
            "shorten it, or ask for truncation"
        )
    kept = _kept_tokens(encoding.sequence_ids, max_length)
    return EncodedText([token_ids[i] for i in kept], [type_ids[i] for i in kept], is_truncated=True)


def _kept_tokens(owners: Sequence[int | None], max_length: int) -> list[int]:
    """List the tokens that stay: every special token, and the beginning of each part.

    `owners` tells each token's part, 0 or 1, or None for a special token.
    """
    parts = [[i for i, owner in enumerate(owners) if owner == part] for part in (0, 1)]
    specials = [i for i, owner in enumerate(owners) if owner is None]
    room = max_length - len(specials)
    if room < 0:
        raise TextTooLong(
            f"The task takes at most {max_length} tokens, too few for the {len(specials)} special "
            "tokens of the backbone"
        )
    first, second = _longest_first(len(parts[0]), len(parts[1]), room)
    return sorted([*specials, *parts[0][:first], *parts[1][:second]])


def _longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """Share `room` tokens between two parts by shortening the longer one first.

    The same split as the `longest_first` strategy of the tokenizers library.
    """
    shorter = min(first, second)
    longer = max(shorter, room - shorter)
    if shorter + longer > room:
        shorter, longer = room // 2, room - room // 2
    return (shorter, longer) if first <= second else (longer, shorter)
