import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefixes import PrefixSpec
from prefixes.answers import Strategy, find_entities
from prefixes.encoded import EncodedText
from tests.factories import make_spec
from tests.prefixes.answers.texts import Logits, encode, logits_of, token_cases
from tests.prefixes.facts import BACKBONE

LABELS = ("O", "B-person", "I-person", "B-place", "I-place")
ALL: tuple[Strategy, ...] = ("none", "simple", "first", "average", "max")


def spec_of(labels: tuple[str, ...] = LABELS) -> PrefixSpec:
    return make_spec(BACKBONE, task_type="token_classification", labels=labels)


def found(
    text: str, words: list[str], tags: list[str], strategy: Strategy = "first"
) -> list[tuple[str, str]]:
    logits = logits_of(LABELS, ["B-person", *tags, "B-person"])  # special tokens never count
    entities = find_entities(spec_of(), text, encode(text, words), logits, strategy=strategy)
    return [(entity.label, text[entity.start : entity.end]) for entity in entities]


def test_words_of_one_entity_are_joined_with_what_stands_between_them() -> None:
    words = ["Ada", "Lovelace", "saw", "New", "York"]
    tags = ["B-person", "I-person", "O", "B-place", "I-place"]
    for strategy in ALL[1:]:
        assert found("Ada  Lovelace saw New York", words, tags, strategy) == [
            ("person", "Ada  Lovelace"),
            ("place", "New York"),
        ]


def test_a_beginning_parts_two_entities_of_one_type() -> None:
    tags = ["B-person", "B-person", "I-person"]
    assert found("Ada Bob Ray", ["Ada", "Bob", "Ray"], tags) == [
        ("person", "Ada"),
        ("person", "Bob Ray"),
    ]


def test_another_type_or_the_background_ends_an_entity() -> None:
    tags = ["I-person", "I-place", "O", "I-place"]
    assert found("Ada Rome or Bonn", ["Ada", "Rome", "or", "Bonn"], tags) == [
        ("person", "Ada"),
        ("place", "Rome"),
        ("place", "Bonn"),
    ]


def test_labels_without_iob_marks_are_types_of_their_own() -> None:
    labels = ("person", "O", "B-", "thing")
    text, words = "Ada Bob saw it", ["Ada", "Bob", "saw", "it"]
    logits = logits_of(labels, ["O", "person", "person", "O", "thing", "O"])
    entities = find_entities(spec_of(labels), text, encode(text, words), logits)
    assert [(one.label, one.text) for one in entities] == [("person", "Ada Bob"), ("thing", "it")]


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        pytest.param("none", [("B-place", "Jo"), ("I-person", "han"), ("I-person", "nes")]),
        pytest.param("simple", [("place", "Jo"), ("person", "hannes")]),
        pytest.param("first", [("place", "Johannes")]),
        pytest.param("average", [("person", "Johannes")]),
        pytest.param("max", [("person", "Johannes")]),
    ],
)
def test_each_strategy_reads_the_pieces_of_a_word_in_its_own_way(
    strategy: Strategy, expected: list[tuple[str, str]]
) -> None:
    logits = np.concatenate(
        [
            logits_of(LABELS, ["O", "B-place"], sure=1.0),
            logits_of(LABELS, ["I-person", "I-person", "O"]),
        ]
    )
    text = "Johannes"
    entities = find_entities(
        spec_of(), text, encode(text, ["Jo|han|nes"]), logits, strategy=strategy
    )
    assert [(entity.label, entity.text) for entity in entities] == expected


def test_the_score_is_the_mean_of_the_words_scores_of_their_tags() -> None:
    text = "New York"
    logits = np.zeros((4, 5))
    logits[1, 3] = np.log(4)  # 4 of 8: a half
    logits[2, 4] = np.log(36)  # 36 of 40: nine tenths
    (entity,) = find_entities(spec_of(), text, encode(text, ["New", "York"]), logits)
    assert entity.score == pytest.approx(0.7)
    assert (entity.start, entity.end, entity.index) == (0, 8, 1)


def test_single_tokens_keep_their_tag_score_and_place() -> None:
    text = "in Rome"
    logits = logits_of(LABELS, ["B-person", "O", "B-place", "O"], sure=np.log(4))
    (entity,) = find_entities(
        spec_of(), text, encode(text, ["in", "Rome"]), logits, strategy="none"
    )
    assert (entity.label, entity.text, entity.index) == ("B-place", "Rome", 2)
    assert entity.score == pytest.approx(0.5)


def test_a_text_of_background_has_no_entities() -> None:
    for strategy in ALL:
        assert found("it is", ["it", "is"], ["O", "O"], strategy) == []


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        pytest.param(
            "Zoë 👩\u200d🔬 ist", ["Zoë", "👩", "\u200d", "🔬"], "Zoë 👩\u200d🔬", id="zwj"
        ),
        pytest.param("ok 👍|🏽!".replace("|", ""), ["ok", "👍", "🏽"], "ok 👍🏽", id="skin tone"),
        pytest.param("Andre\u0301 da", ["Andre", "\u0301"], "Andre\u0301", id="combining mark"),
        pytest.param("我愛東京。", ["我", "愛", "東", "京"], "我愛東京", id="ideographs"),
        pytest.param("שלום עולם.", ["שלום", "עולם"], "שלום עולם", id="right to left"),
    ],
)
@pytest.mark.parametrize("strategy", ALL[1:])
def test_entities_are_whole_characters_of_the_text(
    text: str, words: list[str], expected: str, strategy: Strategy
) -> None:
    tags = ["B-place", *["I-place"] * (len(words) - 1)]
    assert found(text, words, tags, strategy) == [("place", expected)]


def test_pieces_of_one_character_are_never_two_entities() -> None:
    words = ["👩", "\u200d", "🔬"]
    for strategy in ALL[1:]:
        entities = found("👩\u200d🔬", words, ["B-person", "B-place", "B-place"], strategy)
        assert [text for _, text in entities] == ["👩\u200d🔬"]


@given(token_cases(len(LABELS)), st.sampled_from(ALL))
def test_entities_are_slices_in_order_that_share_nothing(
    case: tuple[str, EncodedText, Logits], strategy: Strategy
) -> None:
    text, encoded, logits = case
    entities = find_entities(spec_of(), text, encoded, logits, strategy=strategy)
    end = 0
    for entity in entities:
        assert 0 <= entity.start < entity.end <= len(text)
        assert entity.text == text[entity.start : entity.end] == entity.text.strip()
        assert 0 < entity.score <= 1
        if strategy != "none":
            assert entity.start >= end
        end = entity.end
    starts = [entity.start for entity in entities]
    assert starts == sorted(starts)
