"""Tokens that answers point with: every span is a slice of the user's own text, in any script."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE, Unigram

from prefixes import AnswerSpec, PrefixSpec
from prefixes.backbone import Backbone, TextEncoder
from prefixes.characters import is_blank
from prefixes.errors import TextTooLong
from prefixes.lengths import LengthOptions
from tests.factories import make_spec

PIECES = [
    "good",
    "film",
    "Café",
    "cafe\u0301",
    "don't",
    "漢字",
    "👩\u200d🔬",
    "👍🏽",
    "مرحبا",
    "ﬁn",
]
PIECES += ["½", "...", "नमस्ते"]
MAX_PIECES = 12
"""Of these, no text has more than the 300 tokens at which it is truncated."""

TEXTS = (
    st.lists(
        st.sampled_from([*PIECES, "zebra-crossing", "e\u0301", "\u200b"]),
        min_size=1,
        max_size=MAX_PIECES,
    )
    .map(" ".join)
    .filter(lambda text: not is_blank(text))
)


def with_specials(tokenizer: Tokenizer) -> Tokenizer:
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 1)],
    )
    return tokenizer


def byte_level() -> Tokenizer:
    """Bytes as tokens, as RoBERTa's and ModernBERT's: an emoji becomes several of them."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {piece: n for n, piece in enumerate(["<s>", "</s>", *letters, "Ġg", "oo"])}
    tokenizer = Tokenizer(BPE(vocab, [("Ġ", "g"), ("o", "o")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return with_specials(tokenizer)


def sentence_piece() -> Tokenizer:
    """Pieces that begin with a blank, after compatibility normalization, like those of XLM-R."""
    pieces = ["<s>", "</s>", "<unk>", "▁", "▁good", "▁film", "g", "o", "d", "c", "a", "f", "e"]
    scores = [(piece, -float(n)) for n, piece in enumerate(pieces)]
    tokenizer = Tokenizer(Unigram(scores, unk_id=2, byte_fallback=False))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return with_specials(tokenizer)


def word_piece() -> Tokenizer:
    """Words in lower case and without accents, as BERT's."""
    pieces = ["<s>", "</s>", "[UNK]", "good", "film", "c", "##a", "##f", "##e", "漢", "字"]
    vocab = {piece: n for n, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return with_specials(tokenizer)


@pytest.fixture(scope="module", params=[byte_level, sentence_piece, word_piece])
def encoder(request: pytest.FixtureRequest) -> TextEncoder:
    return TextEncoder(request.param())


@pytest.fixture(scope="module")
def tagging(backbone: Backbone) -> PrefixSpec:
    return make_spec(backbone.fingerprint, task_type="token_classification", max_length=300)


@given(text=TEXTS)
def test_every_span_is_a_slice_without_white_space_around_it(
    encoder: TextEncoder, tagging: PrefixSpec, text: str
) -> None:
    ((encoded,),) = encoder.encode(tagging, [{"text": text}])

    assert len(encoded.spans) == len(encoded.words) == len(encoded.token_ids)
    assert encoded.spans[0] is encoded.spans[-1] is None  # the special tokens'
    slices = [text[start:end] for start, end in filter(None, encoded.spans)]
    assert all(piece and piece == piece.strip() for piece in slices)
    ends = [end for _, end in filter(None, encoded.spans)]
    assert ends == sorted(ends)


@given(pieces=st.lists(st.sampled_from(PIECES), min_size=1, max_size=MAX_PIECES))
def test_no_piece_of_text_is_without_a_token_and_none_is_torn(
    encoder: TextEncoder, tagging: PrefixSpec, pieces: list[str]
) -> None:
    text = " ".join(pieces)

    ((encoded,),) = encoder.encode(tagging, [{"text": text}])

    place = 0
    for piece in pieces:
        inside = [span for span in encoded.spans if span and place <= span[0] < place + len(piece)]
        assert inside
        assert max(end for _, end in inside) == place + len(piece)
        place += len(piece) + 1


def test_words_that_are_cut_into_tokens_are_known(backbone: Backbone, tagging: PrefixSpec) -> None:
    ((encoded,),) = backbone.texts.encode(tagging, [{"text": "good zebra!"}])

    words = [word for word in encoded.words if word is not None]
    assert words[0] == 0
    assert words.count(1) == 5  # z ##e ##b ##r ##a
    assert words[-1] == 2


@given(context=TEXTS, stride=st.integers(0, 20))
def test_the_windows_of_a_context_point_into_it_and_miss_nothing(
    backbone: Backbone, context: str, stride: int
) -> None:
    spec = make_spec(
        backbone.fingerprint,
        task_type="question_answering",
        max_length=20,
        answers=AnswerSpec(stride=stride),
    )

    (windows,) = backbone.texts.encode(spec, [{"question": "who is it", "context": context}])

    (whole,) = backbone.texts.encode(
        spec.model_copy(update={"max_length": 300}), [{"question": "who is it", "context": context}]
    )
    assert len(whole) == 1
    assert {span for window in windows for span in window.spans} == set(whole[0].spans)
    assert all(len(window.token_ids) <= 20 for window in windows)
    asked = whole[0].token_ids[:5]  # [CLS] who is it [SEP]
    assert all(window.token_ids[:5] == asked for window in windows)


def test_a_question_too_long_for_its_half_is_cut_or_refused_as_asked(backbone: Backbone) -> None:
    spec = make_spec(backbone.fingerprint, task_type="question_answering", max_length=20)
    fields = [{"question": "who " * 30, "context": "the film"}]

    ((window,),) = backbone.texts.encode(spec, fields)

    assert window.is_truncated
    with pytest.raises(TextTooLong, match="35 tokens"):
        backbone.texts.encode(spec, fields, lengths=LengthOptions(truncate=False))


def test_a_choice_each_becomes_a_text_of_its_own(backbone: Backbone) -> None:
    spec = make_spec(backbone.fingerprint, task_type="multiple_choice", max_length=12)
    fields = {"premise": "it was late", "choices": ["the train", "the film", "a " * 30]}

    (encoded,) = backbone.texts.encode(spec, [fields])

    assert [text.is_truncated for text in encoded] == [False, False, True]
    assert encoded[0].token_ids != encoded[1].token_ids
    assert all(text.spans == () for text in encoded)


def test_a_task_without_token_types_has_all_of_type_0(backbone: Backbone) -> None:
    fields = [{"question": "who", "context": "the film"}]
    spec = make_spec(backbone.fingerprint, task_type="question_answering")

    ((usual,),) = backbone.texts.encode(spec, fields)
    ((without,),) = backbone.texts.encode(spec.model_copy(update={"token_types": False}), fields)

    assert 1 in usual.token_type_ids
    assert list(without.token_type_ids) == [0] * len(usual.token_ids)
    assert without.token_ids == usual.token_ids
