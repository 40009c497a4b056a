"""Texts to tokens: the same as the transformers tokenizer gives, from any thread."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from prefixes import InputTemplate, PrefixSpec
from prefixes.backbone import Backbone, TextEncoder
from prefixes.errors import InputRejected, TextTooLong
from prefixes.lengths import LengthOptions
from tests.factories import WORDS, encode_each, make_spec

PAIR = InputTemplate(text="{a}", text_pair="{b}")


def byte_level_tokenizer() -> Tokenizer:
    """Train a byte-level tokenizer with four special tokens per pair, as RoBERTa has them."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([" ".join(WORDS)], trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return tokenizer


def bare_tokenizer() -> Tokenizer:
    """Make a tokenizer that knows four words and adds no special tokens."""
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS[:4])}))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


@pytest.fixture(scope="session", params=["bert", "roberta", "byte-level"])
def tokenizer(request: pytest.FixtureRequest, backbone_folder: Path, roberta_folder: Path) -> Any:
    """Tokenizers as transformers hands them out."""
    if request.param == "byte-level":
        return PreTrainedTokenizerFast(
            tokenizer_object=byte_level_tokenizer(), pad_token="<pad>", unk_token="<unk>"
        )
    return AutoTokenizer.from_pretrained(
        backbone_folder if request.param == "bert" else roberta_folder
    )


def spec_of(backbone: Backbone, max_length: int, template: InputTemplate) -> PrefixSpec:
    return make_spec(backbone.fingerprint, max_length=max_length, input=template)


texts = st.lists(st.sampled_from([*WORDS, "zebra", "don't!", "漢字", "e\u0301"]), min_size=1).map(
    " ".join
)


@given(text=texts, max_length=st.integers(3, 40))
def test_one_text_becomes_the_tokens_that_transformers_gives(
    tokenizer: Any, backbone: Backbone, text: str, max_length: int
) -> None:
    spec = spec_of(backbone, max_length, InputTemplate())

    ((encoded,),) = TextEncoder(tokenizer.backend_tokenizer).encode(spec, [{"text": text}])

    expected = tokenizer(text, truncation=True, max_length=max_length)
    assert encoded.token_ids == expected["input_ids"]
    if "token_type_ids" in expected:
        assert encoded.token_type_ids == expected["token_type_ids"]
    assert encoded.is_truncated == (len(tokenizer(text)["input_ids"]) > max_length)


@given(first=texts, second=texts, max_length=st.integers(4, 40))
def test_a_pair_is_shortened_as_transformers_does_the_longest_first(
    tokenizer: Any, backbone: Backbone, first: str, second: str, max_length: int
) -> None:
    spec = spec_of(backbone, max_length, PAIR)

    ((encoded,),) = TextEncoder(tokenizer.backend_tokenizer).encode(
        spec, [{"a": first, "b": second}]
    )

    expected = tokenizer(first, second, truncation=True, max_length=max_length)
    assert encoded.token_ids == expected["input_ids"]
    if "token_type_ids" in expected:
        assert encoded.token_type_ids == expected["token_type_ids"]


@pytest.mark.parametrize("first", range(6))
@pytest.mark.parametrize("second", range(6))
def test_every_split_of_short_pairs_is_the_one_of_transformers(
    backbone_folder: Path, backbone: Backbone, first: int, second: int
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(backbone_folder)
    pair = ("a " * first or "\ue000", "b " * second or "\ue000")  # private use: no token
    for max_length in range(3, 16):
        spec = spec_of(backbone, max_length, PAIR)

        (encoded,) = encode_each(backbone, spec, [{"a": pair[0], "b": pair[1]}])

        expected = tokenizer(*pair, truncation=True, max_length=max_length)["input_ids"]
        assert encoded.token_ids == expected


def test_the_second_text_of_a_pair_has_its_own_token_type_on_bert_and_not_on_roberta(
    backbone: Backbone, roberta: Backbone
) -> None:
    fields = [{"a": "a film", "b": "good " * 40}]

    (on_bert,) = encode_each(backbone, spec_of(backbone, 8, PAIR), fields)
    (on_roberta,) = encode_each(roberta, spec_of(roberta, 8, PAIR), fields)

    assert on_bert.token_type_ids == [0, 0, 0, 0, 1, 1, 1, 1]
    assert on_roberta.token_type_ids == [0] * 8


def test_a_text_too_long_is_refused_with_both_numbers_when_truncation_is_off(
    backbone: Backbone,
) -> None:
    spec = spec_of(backbone, 8, InputTemplate())
    exact = {"text": "a " * 6}
    (encoded,) = encode_each(backbone, spec, [exact], truncate=False)
    assert len(encoded.token_ids) == 8
    assert not encoded.is_truncated

    with pytest.raises(TextTooLong, match="The input has 9 tokens, the task allows at most 8"):
        encode_each(backbone, spec, [{"text": "a " * 7}], truncate=False)


def test_a_context_longer_than_all_windows_is_refused_with_their_number(
    backbone: Backbone,
) -> None:
    spec = make_spec(backbone.fingerprint, task_type="question_answering", max_length=16)
    inside = {"question": "good", "context": "film " * 40}
    assert len(backbone.texts.encode(spec, [inside], lengths=LengthOptions(truncate=False))[0]) > 1

    with pytest.raises(TextTooLong, match="allows at most 32 windows of 16, half of each for"):
        backbone.texts.encode(
            spec, [inside | {"context": "film " * 900}], lengths=LengthOptions(truncate=False)
        )


def test_a_length_without_room_for_the_special_tokens_is_refused(backbone: Backbone) -> None:
    encoder = TextEncoder(byte_level_tokenizer())

    with pytest.raises(TextTooLong, match="at most 3 tokens, too few for the 4 special tokens"):
        encoder.encode(spec_of(backbone, 3, PAIR), [{"a": "good", "b": "bad"}])


def test_a_text_that_gives_no_token_at_all_is_refused(backbone: Backbone) -> None:
    encoder = TextEncoder(bare_tokenizer())
    spec = spec_of(backbone, 8, InputTemplate())
    assert encoder.encode(spec, [{"text": "a the"}])[0][0].token_ids == [0, 1]

    with pytest.raises(InputRejected, match="no tokens"):
        encoder.encode(spec, [{"text": "\ue000"}])


def test_token_types_stay_when_a_pair_is_shortened_without_post_processor(
    backbone: Backbone,
) -> None:
    encoder = TextEncoder(bare_tokenizer())
    fields = [{"a": "a the this that", "b": "that this"}]

    ((encoded,),) = encoder.encode(spec_of(backbone, 4, PAIR), fields)

    assert (encoded.token_ids, encoded.token_type_ids) == ([0, 1, 3, 2], [0, 0, 1, 1])


@pytest.mark.parametrize("truncate", [True, False])
def test_a_text_that_is_not_unicode_never_reaches_the_tokenizer(
    backbone: Backbone, *, truncate: bool
) -> None:
    with pytest.raises(InputRejected, match="not valid Unicode"):
        encode_each(
            backbone, spec_of(backbone, 8, InputTemplate()), [{"text": "\ud800"}], truncate=truncate
        )


def test_a_refusal_names_the_input_it_is_about(backbone: Backbone) -> None:
    spec = spec_of(backbone, 8, InputTemplate())

    with pytest.raises(TextTooLong) as too_long:
        encode_each(backbone, spec, [{"text": "a"}, {"text": "a " * 9}], truncate=False)
    with pytest.raises(InputRejected) as empty:
        encode_each(backbone, spec, [{"text": "a"}, {"text": "a"}, {"text": " "}])

    assert (too_long.value.index, empty.value.index) == (1, 2)


def test_truncation_and_padding_stored_in_the_tokenizers_file_are_ignored(
    backbone: Backbone, backbone_folder: Path
) -> None:
    stored = Tokenizer.from_file(str(backbone_folder / "tokenizer.json"))
    stored.enable_truncation(5)
    stored.enable_padding(length=50)
    spec = spec_of(backbone, 64, InputTemplate())
    inputs = [{"text": "a good film"}, {"text": "good " * 30}]

    encoded = [text for (text,) in TextEncoder(stored).encode(spec, inputs)]

    assert [len(text.token_ids) for text in encoded] == [5, 32]
    assert encoded == encode_each(backbone, spec, inputs)
    assert stored.truncation is not None  # the caller's own tokenizer is left as it was


def test_threads_that_encode_at_once_get_what_one_alone_gets(backbone: Backbone) -> None:
    jobs = [
        (spec_of(backbone, 3 + n % 17, PAIR), {"a": "good film " * n, "b": "the plot " * (40 - n)})
        for n in range(1, 40)
    ]
    alone = [encode_each(backbone, spec, [fields]) for spec, fields in jobs]

    with ThreadPoolExecutor(8) as pool:
        together = list(
            pool.map(lambda job: encode_each(backbone, job[0], [job[1]]), [*jobs, *jobs])
        )

    assert together == [*alone, *alone]


def test_a_tokenizers_digest_depends_on_what_it_does_not_on_how_it_is_written(
    backbone_folder: Path, backbone: Backbone
) -> None:
    loaded = Tokenizer.from_file(str(backbone_folder / "tokenizer.json"))
    loaded.enable_truncation(5)

    assert TextEncoder(loaded).digest() == backbone.texts.digest()


def test_a_tokenizer_that_does_something_else_has_another_digest(
    backbone: Backbone, roberta: Backbone, backbone_folder: Path
) -> None:
    another_word = Tokenizer.from_file(str(backbone_folder / "tokenizer.json"))
    another_word.add_tokens(["zebra"])
    another_split = Tokenizer.from_file(str(backbone_folder / "tokenizer.json"))
    another_split.pre_tokenizer = pre_tokenizers.WhitespaceSplit()

    digests = {
        TextEncoder(another_word).digest(),
        TextEncoder(another_split).digest(),
        backbone.texts.digest(),
        roberta.texts.digest(),  # the same words, other token types for pairs
    }

    assert len(digests) == 4


def test_the_end_of_a_text_beyond_all_measure_is_not_looked_at(backbone: Backbone) -> None:
    spec = spec_of(backbone, 8, InputTemplate(text="{a}", text_pair="{b} {b}"))
    blank = " " * 20_000
    (encoded,) = encode_each(backbone, spec, [{"a": f"good{blank}film", "b": "bad"}])
    (short,) = encode_each(backbone, spec, [{"a": "good", "b": "bad"}])
    assert encoded.is_truncated
    assert encoded.token_ids == short.token_ids
    with pytest.raises(TextTooLong, match="more than 10000 characters") as error:
        encode_each(
            backbone,
            spec,
            [{"a": "a", "b": "b"}, {"a": "a", "b": f"good{blank[:10_000]}"}],
            truncate=False,
        )
    assert error.value.index == 1


def test_a_text_beyond_all_measure_gives_the_tokens_of_its_beginning(backbone: Backbone) -> None:
    spec = spec_of(backbone, 40, InputTemplate())
    phrase = "a good film, zebra! "
    (encoded,) = encode_each(backbone, spec, [{"text": phrase * 3000}])
    (short,) = encode_each(backbone, spec, [{"text": phrase * 40}])
    assert encoded == short


def test_a_question_is_not_looked_at_as_far_as_its_context(backbone: Backbone) -> None:
    spec = make_spec(backbone.fingerprint, task_type="question_answering", max_length=60)
    ((encoded, *_),) = backbone.texts.encode(
        spec, [{"question": " " * 12_000 + "good", "context": " " * 12_000 + "film"}]
    )
    assert encoded.is_truncated
    assert len(encoded.token_ids) == 4  # three special tokens, and the film
