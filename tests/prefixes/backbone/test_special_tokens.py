"""Special tokens in a text: of special meaning, or ordinary text, as the task was trained."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import AutoTokenizer

from prefixes import InputTemplate, PrefixSpec
from prefixes.backbone import Backbone, EncodeJob, TextEncoder
from prefixes.lengths import LengthOptions
from prefixes.spec import SpecialTokens
from tests.factories import encode_each, make_spec

SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
LETTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]
TEXTS = st.lists(
    st.sampled_from([*SPECIALS, "good", "film", "a</s>b", "<", "s>", "\u6f22"]), min_size=1
).map(" ".join)


def finished(tokenizer: Tokenizer) -> Tokenizer:
    """Add special tokens as loaded tokenizers have them."""
    tokenizer.add_special_tokens(SPECIALS)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return tokenizer


def word_piece() -> Tokenizer:
    pieces = [*SPECIALS, "good", "film", "<", ">", "/", *LETTERS, *(f"##{x}" for x in LETTERS)]
    vocab = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return finished(tokenizer)


def byte_level() -> Tokenizer:
    """Bytes as tokens; one of the merges makes `<s>` of ordinary text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*SPECIALS, *alphabet, "<s"]
    vocab = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocab, [("<", "s"), ("<s", ">")], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return finished(tokenizer)


def unigram() -> Tokenizer:
    """Pieces with scores; the special tokens are among them and score best, as in XLM-R's."""
    pieces = [(piece, 0.0) for piece in SPECIALS]
    pieces += [(piece, -4.0) for piece in ("\u2581", "\u2581good", "<", ">", "/", *LETTERS)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=3, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    return finished(tokenizer)


@pytest.fixture(scope="module", params=[word_piece, byte_level, unigram])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    made: Tokenizer = request.param()
    return made


@pytest.fixture(scope="module")
def encoder(tokenizer: Tokenizer) -> TextEncoder:
    return TextEncoder(tokenizer)


def tagging(backbone: Backbone, way: SpecialTokens, **changes: Any) -> PrefixSpec:
    fields = {"task_type": "token_classification", "max_length": 300, **changes}
    return make_spec(backbone.fingerprint, special_tokens=way, **fields)


@given(text=TEXTS)
def test_no_text_can_bring_special_tokens_in_as_ordinary_text(
    encoder: TextEncoder, backbone: Backbone, text: str
) -> None:
    ((encoded,),) = encoder.encode(tagging(backbone, "text"), [{"text": text}])

    first, *own, last = encoded.token_ids
    assert (first, last) == (0, 2)
    assert not {0, 1, 2, 4} & set(own)  # <unk> stands for what the vocabulary lacks
    seen = {place for span in encoded.spans if span is not None for place in range(*span)}
    assert seen == {place for place, character in enumerate(text) if character != " "}


@given(text=TEXTS.map(lambda text: text.replace("<", "").replace(">", "").strip() or "a"))
def test_texts_without_special_tokens_are_the_same_either_way(
    encoder: TextEncoder, backbone: Backbone, text: str
) -> None:
    control, ordinary = (
        encoder.encode(tagging(backbone, way), [{"text": text}]) for way in ("control", "text")
    )

    assert control == ordinary


def test_pairs_keep_the_separators_of_the_tokenizer(
    encoder: TextEncoder, backbone: Backbone
) -> None:
    spec = make_spec(
        backbone.fingerprint,
        input=InputTemplate(text="{a}", text_pair="{b}"),
        special_tokens="text",
    )

    ((encoded,),) = encoder.encode(spec, [{"a": "a</s>", "b": "</s>b"}])

    places = [place for place, number in enumerate(encoded.token_ids) if number == 2]
    assert len(places) == 3
    assert places[1] == places[0] + 1
    assert places[2] == len(encoded.token_ids) - 1


def test_control_keeps_the_special_meaning(encoder: TextEncoder, backbone: Backbone) -> None:
    ((encoded,),) = encoder.encode(tagging(backbone, "control"), [{"text": "good </s> film"}])

    assert list(encoded.token_ids).count(2) == 2


@pytest.mark.parametrize("way", ["control", "text"])
def test_both_ways_are_those_of_transformers(
    backbone_folder: Path, backbone: Backbone, way: SpecialTokens
) -> None:
    text = "free [SEP] prize [MASK] now [UNK]"
    spec = make_spec(backbone.fingerprint, special_tokens=way)

    (encoded,) = encode_each(backbone, spec, [{"text": text}])

    theirs = AutoTokenizer.from_pretrained(backbone_folder)
    expected = theirs(text, split_special_tokens=way == "text")["input_ids"]
    assert list(encoded.token_ids) == expected


@given(ways=st.lists(st.sampled_from(["control", "text"]), min_size=1, max_size=6))
def test_a_batch_may_mix_both_ways(
    encoder: TextEncoder, backbone: Backbone, ways: list[SpecialTokens]
) -> None:
    texts = [f"good </s> {'film ' * number}" for number in range(1, 4)]
    inputs = [{"text": text} for text in texts]
    broken = [{"text": "good"}, {"text": ""}]
    jobs = [
        EncodeJob(tagging(backbone, way), some, LengthOptions())
        for way in ways
        for some in (inputs, broken)
    ]

    results = encoder.encode_together(jobs)

    for way, result in zip(ways, results[::2], strict=True):
        assert result == encoder.encode(tagging(backbone, way), inputs)
