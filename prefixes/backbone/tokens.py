"""TextEncoder: one text or a pair to tokens, within the length rules of the task."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from tokenizers import Encoding, Tokenizer

from prefixes.errors import InputRejected, TextTooLong
from prefixes.spec import PrefixSpec

T = TypeVar("T")

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
        self, spec: PrefixSpec, inputs: Sequence[Mapping[str, str]], *, truncate: bool = True
    ) -> list[EncodedText]:
        """Render each input through the task's template and tokenize it.

        Raises:
            InputRejected: when an input's fields do not fit the template; `index` names it.
            TextTooLong: when `truncate` is false and an input has more than `max_length` tokens.
        """
        rendered = [
            _naming_index(index, spec.input.render, fields) for index, fields in enumerate(inputs)
        ]
        flat = [text if pair is None else (text, pair) for text, pair in rendered]
        encodings = self._tokenizer.encode_batch(flat)
        fit = partial(self._fit, max_length=spec.max_length, truncate=truncate)
        return [
            _naming_index(index, fit, text, pair, encoding)
            for index, ((text, pair), encoding) in enumerate(zip(rendered, encodings, strict=True))
        ]

    def _fit(
        self, text: str, pair: str | None, encoding: Encoding, *, max_length: int, truncate: bool
    ) -> EncodedText:
        if len(encoding.ids) <= max_length:
            return _encoded(encoding)
        return self._shorten(text, pair, len(encoding.ids), max_length, truncate=truncate)

    def _shorten(
        self, text: str, pair: str | None, length: int, max_length: int, *, truncate: bool
    ) -> EncodedText:
        if not truncate:
            raise TextTooLong(
                f"The input has {length} tokens, the task takes at most {max_length}: "
                "shorten it, or ask for truncation"
            )
        parts = [
            self._tokenizer.encode(part, add_special_tokens=False)
            for part in (text, pair)
            if part is not None
        ]
        room = max_length - self._tokenizer.num_special_tokens_to_add(pair is not None)
        for part, keep in zip(
            parts, _longest_first([len(p.ids) for p in parts], room), strict=True
        ):
            part.truncate(keep)
        second = parts[1] if pair is not None else None
        return _encoded(self._tokenizer.post_process(parts[0], second), is_truncated=True)

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


def _encoded(encoding: Encoding, *, is_truncated: bool = False) -> EncodedText:
    return EncodedText(encoding.ids, encoding.type_ids, is_truncated)


def _longest_first(lengths: Sequence[int], room: int) -> list[int]:
    """Share `room` tokens between the parts by shortening the longest first.

    The same split as the `longest_first` strategy of the tokenizers library.
    """
    if len(lengths) == 1:
        return [min(lengths[0], room)]
    shorter = min(lengths)
    longer = max(shorter, room - shorter)
    if shorter + longer > room:
        shorter, longer = room // 2, room - room // 2
    return [shorter, longer] if lengths[0] <= lengths[1] else [longer, shorter]
