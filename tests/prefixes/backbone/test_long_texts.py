"""Long texts in windows: nothing of a text is lost, whatever its characters, and limits hold."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefixes import InputTemplate, Prefix, PrefixSpec
from prefixes.answers import Entity, find_entities, whole_outputs, whole_texts
from prefixes.backbone import Backbone, TextEncoder, pool_of, run_mixed
from prefixes.errors import InputRejected, TextTooLong
from prefixes.lengths import LengthOptions
from prefixes.spec import Decisions, LongTexts
from tests.factories import make_spec
from tests.prefixes.backbone.test_tokens import byte_level_tokenizer
from tests.taggers import FILLER, NAME, STATEMENT, fitted_tagger

WINDOWS = LengthOptions(long_text="windows")
SCRIPTS = "ab e\u0301\u200d👩🔬👍🏽漢字\u05e9\u05dc\u0938\u094d.\n"


def tagging(backbone: Backbone, max_length: int, **changes: Any) -> PrefixSpec:
    return make_spec(
        backbone.fingerprint,
        task_type="token_classification",
        max_length=max_length,
        **changes,
    )


@pytest.fixture(scope="module")
def tagger(backbone: Backbone) -> Prefix:
    return fitted_tagger(backbone, max_length=32)


def entities(backbone: Backbone, prefix: Prefix, text: str, lengths: LengthOptions) -> list[Entity]:
    pool, (resident,) = pool_of(backbone, [prefix])
    (texts,) = backbone.texts.encode(prefix.spec, [{"text": text}], lengths=lengths)
    outputs = run_mixed(backbone, pool, [(one, resident) for one in texts])
    (logits,) = whole_outputs(prefix.spec, texts, [values.numpy() for values in outputs])
    (whole,) = whole_texts(texts)
    return find_entities(prefix.spec, text, whole, logits)


def test_a_name_at_the_end_of_sixty_sentences_is_found(backbone: Backbone, tagger: Prefix) -> None:
    text = " ".join([*[FILLER] * 60, STATEMENT])

    (found,) = entities(backbone, tagger, text, LengthOptions(long_text="windows", stride=4))

    assert (found.label, found.text) == ("place", " ".join(NAME))
    assert text[found.start :] == STATEMENT
    assert entities(backbone, tagger, text, LengthOptions()) == []


@pytest.mark.parametrize("stride", [0, 1, 2, 3, 8])
@pytest.mark.parametrize("num_words", range(20, 33))
def test_a_name_across_the_edge_of_a_window_is_found_whole(
    backbone: Backbone, tagger: Prefix, stride: int, num_words: int
) -> None:
    words = (FILLER.split() * 4)[-num_words:]
    text = " ".join([*words, STATEMENT])

    found = entities(backbone, tagger, text, LengthOptions(long_text="windows", stride=stride))

    assert [one.text for one in found] == [" ".join(NAME)]


@given(text=st.text(st.sampled_from(SCRIPTS), min_size=1, max_size=120), stride=st.integers(0, 9))
def test_windows_have_all_tokens_of_a_text_in_any_script(
    backbone: Backbone, text: str, stride: int
) -> None:
    lengths = LengthOptions(long_text="windows", stride=stride)
    rule = Decisions(long_texts=LongTexts(max_windows=256))
    short = tagging(backbone, 12, decisions=rule)
    for encoder in (backbone.texts, TextEncoder(byte_level_tokenizer())):
        try:
            (whole,) = encoder.encode(tagging(backbone, 310), [{"text": text}])
        except InputRejected:
            continue  # nothing but white space

        (windows,) = encoder.encode(short, [{"text": text}], lengths=lengths)

        assert all(len(one.token_ids) <= 12 for one in windows)
        (joined,) = whole_texts(windows)
        assert (list(joined.token_ids), list(joined.spans), list(joined.words)) == (
            list(whole[0].token_ids),
            list(whole[0].spans),
            list(whole[0].words),
        )
        assert joined.is_truncated == (
            len(windows) == 32 and len(whole[0].token_ids) > len(joined.token_ids)
        )


@pytest.mark.parametrize(("num_words", "num_windows"), [(1, 1), (6, 1), (7, 2)])
def test_a_text_of_the_maximum_length_has_one_window_and_one_more_token_gives_two(
    backbone: Backbone, num_words: int, num_windows: int
) -> None:
    fields = [{"text": "good " * num_words}]

    (windows,) = backbone.texts.encode(tagging(backbone, 8), fields, lengths=WINDOWS)

    assert len(windows) == num_windows
    assert not windows[0].is_truncated


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_text_is_refused_as_without_windows(backbone: Backbone, text: str) -> None:
    with pytest.raises(InputRejected, match="The field 'text' is empty"):
        backbone.texts.encode(tagging(backbone, 8), [{"text": text}], lengths=WINDOWS)


def test_a_word_longer_than_a_window_is_one_word(backbone: Backbone) -> None:
    spec = tagging(backbone, 8)
    (windows,) = backbone.texts.encode(spec, [{"text": "xyz" * 20}], lengths=WINDOWS)
    (whole,) = whole_texts(windows)

    assert len(windows) > 2
    assert set(whole.words) == {None, 0}
    assert sum(span is not None for span in whole.spans) == 60


def test_special_tokens_in_a_text_are_text_and_those_around_it_are_in_every_window(
    backbone: Backbone,
) -> None:
    spec = tagging(backbone, 8, special_tokens="text")
    (short,) = backbone.texts.encode(spec, [{"text": "good"}])
    first, last = short[0].token_ids[0], short[0].token_ids[-1]

    (windows,) = backbone.texts.encode(spec, [{"text": "[SEP] good " * 9}], lengths=WINDOWS)

    for window in windows:
        assert (window.token_ids[0], window.token_ids[-1]) == (first, last)
        assert not {first, last} & set(window.token_ids[1:-1])


def test_a_text_longer_than_all_windows_is_truncated_and_says_so(backbone: Backbone) -> None:
    rule = Decisions(long_texts=LongTexts(stride=0, max_windows=3))
    spec = tagging(backbone, 8, decisions=rule)
    exact, longer = [{"text": "good " * 18}], [{"text": "good " * 19}]

    (fits,) = backbone.texts.encode(spec, exact, lengths=LengthOptions())
    (cut,) = backbone.texts.encode(spec, longer, lengths=LengthOptions())

    assert [len(fits), len(cut)] == [3, 3]
    assert [windows[0].is_truncated for windows in (fits, cut)] == [False, True]
    refuse = LengthOptions(truncate=False)
    assert len(backbone.texts.encode(spec, exact, lengths=refuse)[0]) == 3
    with pytest.raises(TextTooLong, match="has 21 tokens, the task allows at most 3 windows of 8"):
        backbone.texts.encode(spec, longer, lengths=refuse)


def test_the_characters_that_are_read_grow_with_the_windows(backbone: Backbone) -> None:
    spec = make_spec(backbone.fingerprint, max_length=60)
    text = " " * 12_000 + "film"

    (beginning,) = backbone.texts.encode(spec, [{"text": "good" + text}])
    (windows,) = backbone.texts.encode(spec, [{"text": "good" + text}], lengths=WINDOWS)

    assert [len(beginning[0].token_ids), len(windows[0].token_ids)] == [3, 4]
    assert [beginning[0].is_truncated, windows[0].is_truncated] == [True, False]


def test_of_a_pair_the_longer_text_has_windows(backbone: Backbone) -> None:
    template = InputTemplate(text="{a}", text_pair="{b}")
    spec = make_spec(backbone.fingerprint, max_length=12, input=template)
    words = "the train was late and my card was lost"

    for fields in ({"a": "good film", "b": words}, {"a": words, "b": "good film"}):
        (windows,) = backbone.texts.encode(spec, [fields], lengths=WINDOWS)
        (expected,) = backbone.texts.encode(spec.model_copy(update={"max_length": 60}), [fields])

        assert len(windows) > 1
        (whole,) = whole_texts(windows)
        assert whole.token_ids == expected[0].token_ids
        assert whole.token_type_ids == expected[0].token_type_ids
