"""BackboneTokenizer: encodes texts, with special tokens in a text as control or as text."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from tokenizers import Encoding, Tokenizer

from prefixes.errors import InputRejected
from prefixes.spec import SpecialTokens

_TEXTS_AT_ONCE: Final = 32
_CHARACTERS_AT_ONCE: Final = 100_000
"""Limit of what is encoded at once: an encoding takes some hundred bytes per token."""

_PROBES: Final = (
    "The quick brown fox, aged 42, jumps over 3.5 lazy dogs!",
    "naïve Ünïcödé cafés; ΑΒΓ кириллица 漢字かな 한국어",
    "don't   collapse\twhitespace\nplease_or-do",
    "🙂 👩\u200d🔬 e\u0301 ﬁ ½",
)


class BackboneTokenizer:
    """Private copies of a tokenizer, one for each way of reading special tokens in a text.

    Two copies avoid a switch, so that no call changes state.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Copy a tokenizer without the truncation and padding that its file may set."""
        written = json.loads(tokenizer.to_str()) | {"truncation": None, "padding": None}
        self.unknown_token: Final = _unknown_token(written["model"])
        control = Tokenizer.from_str(json.dumps(written))
        self._by_way: dict[SpecialTokens, Tokenizer] = {
            "control": control,
            "text": _as_ordinary_text(written),
        }

    def encode(
        self, way: SpecialTokens, texts: Sequence[str | tuple[str, str]]
    ) -> Iterator[Encoding]:
        for some in _chunks(texts):
            yield from self._by_way[way].encode_batch(some)

    def text_of(self, ids: Sequence[int]) -> str:
        """Decode ids to text; special tokens are omitted.

        Raises:
            InputRejected: when an id is not in the vocabulary.
        """
        tokenizer = self._by_way["control"]
        unknown = [one for one in ids if tokenizer.id_to_token(one) is None]
        if unknown:
            raise InputRejected(
                f"The token id {unknown[0]} is not in this backbone's vocabulary of "
                f"{tokenizer.get_vocab_size()} tokens: send text, or ids of the backbone's own "
                "tokenizer (ids of tiktoken belong to other models)"
            )
        return tokenizer.decode(ids)

    def digest(self) -> str:
        """Identify the tokenizer by its vocabulary and its encodings of a few test texts.

        The bytes of its file are not used, since a new release of the tokenizers library may write
        the same tokenizer differently.
        """
        tokenizer = self._by_way["control"]
        digest = hashlib.sha256()
        for token, number in sorted(tokenizer.get_vocab(with_added_tokens=True).items()):
            digest.update(f"{number} {token}\n".encode())
        for encoding in tokenizer.encode_batch([*_PROBES, (_PROBES[0], _PROBES[1])]):
            digest.update(f"{encoding.ids} {encoding.type_ids}\n".encode())
        return digest.hexdigest()


def _chunks(texts: Sequence[str | tuple[str, str]]) -> Iterator[list[str | tuple[str, str]]]:
    """Divide texts into chunks with a limited number of texts and of characters."""
    chunk: list[str | tuple[str, str]] = []
    size = 0
    for text in texts:
        length = len(text) if isinstance(text, str) else sum(map(len, text))
        if chunk and (len(chunk) == _TEXTS_AT_ONCE or size + length > _CHARACTERS_AT_ONCE):
            yield chunk
            chunk, size = [], 0
        chunk.append(text)
        size += length
    if chunk:
        yield chunk


def _as_ordinary_text(written: dict[str, Any]) -> Tokenizer:
    """Make a tokenizer that recognizes no special tokens in a text, but adds its own around it.

    `encode_special_tokens` alone, which is transformers' `split_special_tokens`, is not enough: a
    Unigram model such as XLM-R's finds `</s>` among the pieces of its vocabulary. Therefore the
    special tokens are renamed to strings that no text contains. Their ids, which the
    post-processor uses, stay. The function modifies its argument.
    """
    hidden = {
        # U+FFFF is not a character, and no model sees white space within a word. A leading space
        # would be trimmed off the offsets of unknown words.
        token["content"]: f"\uffff {token['content']}"
        for token in written["added_tokens"]
        if token["special"]
    }
    for token in written["added_tokens"]:
        token["content"] = hidden.get(token["content"], token["content"])
    _hide(written["model"], hidden)
    tokenizer = Tokenizer.from_str(json.dumps(written))
    tokenizer.encode_special_tokens = True
    return tokenizer


def _hide(model: dict[str, Any], hidden: Mapping[str, str]) -> None:
    vocabulary = model["vocab"]
    if isinstance(vocabulary, dict):
        for name, other in hidden.items():
            if name in vocabulary:
                vocabulary[other] = vocabulary.pop(name)
    else:  # Unigram: pieces with their scores
        model["vocab"] = [[hidden.get(piece, piece), score] for piece, score in vocabulary]
    if model.get("unk_token") is not None:
        model["unk_token"] = hidden.get(model["unk_token"], model["unk_token"])
    if "merges" in model:
        # A merge that results in a special token would create it from ordinary text.
        model["merges"] = [
            pair
            for pair in model["merges"]
            if "".join(pair) not in hidden and hidden.keys().isdisjoint(pair)
        ]


def _unknown_token(model: Mapping[str, Any]) -> int | None:
    name = model.get("unk_token")
    number: int | None = model.get("unk_id") if name is None else model["vocab"].get(name)
    return number
