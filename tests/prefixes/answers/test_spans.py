from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefixes import AnswerSpec, PrefixSpec
from prefixes.answers import TextAnswer, find_answers
from prefixes.answers.spans import NUM_BEST
from prefixes.encoded import EncodedText
from tests.factories import make_spec
from tests.prefixes.answers.texts import Logits, encode, token_cases
from tests.prefixes.facts import BACKBONE

CONTEXT = "Faust is by Goethe of Weimar"
WORDS = ["Fau|st", "is", "by", "Goe|the", "of", "Wei|mar"]


def spec_of(**rules: Any) -> PrefixSpec:
    return make_spec(BACKBONE, task_type="question_answering", answers=AnswerSpec(**rules))


def scored(num_tokens: int, starts: dict[int, float], ends: dict[int, float]) -> Logits:
    logits = np.full((num_tokens, 2), -5.0, dtype=np.float32)
    for side, scores in enumerate((starts, ends)):
        for token, score in scores.items():
            logits[token, side] = score
    return logits


def window() -> EncodedText:
    """Tokens: CLS, two of the question, SEP, then Fau 4, st 5, is 6, by 7, Goe 8, the 9, of 10."""
    return encode(CONTEXT, WORDS, question=2)


def ask(logits: Logits, rules: dict[str, Any] | None = None, **how: Any) -> list[TextAnswer]:
    return find_answers(spec_of(**(rules or {})), CONTEXT, [window()], [logits], **how)


def test_the_best_pair_of_start_and_end_is_the_answer() -> None:
    (answer,) = ask(scored(14, {8: 3.0, 6: 1.0}, {9: 3.0, 6: 2.0}))
    assert (answer.text, answer.start, answer.end) == ("Goethe", 12, 18)


def test_tokens_of_the_question_are_no_answer() -> None:
    (answer,) = ask(scored(14, {1: 9.0, 0: 8.0, 8: 3.0}, {2: 9.0, 3: 8.0, 9: 3.0}))
    assert answer.text == "Goethe"


def test_an_end_before_its_start_is_no_answer() -> None:
    (answer,) = ask(scored(14, {8: 5.0, 4: 1.0}, {5: 5.0, 9: 0.0}))
    assert answer.text == "Faust"  # 1 + 5, which beats 5 + 0; 5 + 5 would run backwards


def test_an_answer_has_no_more_tokens_than_allowed() -> None:
    logits = scored(14, {4: 5.0}, {9: 5.0, 5: 1.0})
    assert ask(logits)[0].text == "Faust is by Goethe"
    assert ask(logits, {"max_answer_tokens": 5})[0].text == "Faust"
    assert ask(logits, {"max_answer_tokens": 5}, max_answer_tokens=6)[0].text == (
        "Faust is by Goethe"
    )


def test_scores_are_shares_among_the_best() -> None:
    answers = ask(scored(14, {4: 1.0, 8: 1.0}, {5: 1.0, 9: 1.0}), top_k=20)
    assert [answer.text for answer in answers[:3]] == ["Faust", "Faust is by Goethe", "Goethe"]
    assert answers[0].score == answers[1].score == answers[2].score
    assert sum(answer.score for answer in answers) == pytest.approx(1)
    assert len(answers) == NUM_BEST


def test_windows_compete_and_an_answer_seen_twice_counts_once_at_its_best() -> None:
    first, second = scored(14, {8: 1.0}, {9: 1.0}), scored(14, {8: 4.0}, {9: 4.0})
    answers = find_answers(
        spec_of(), CONTEXT, [window(), window()], [first, second], top_k=NUM_BEST
    )
    assert [answer.text for answer in answers].count("Goethe") == 1
    assert answers == find_answers(spec_of(), CONTEXT, [window()], [second], top_k=NUM_BEST)


@pytest.mark.parametrize(
    ("null", "threshold", "expected"),
    [
        pytest.param(7.0, 0.0, "", id="none is likelier"),
        pytest.param(7.0, 1.5, "Goethe", id="likelier by less than the threshold"),
        pytest.param(5.0, 0.0, "Goethe", id="less likely"),
        pytest.param(5.0, -2.0, "", id="less likely by less than the threshold"),
    ],
)
def test_no_answer_comes_first_when_its_score_exceeds_the_threshold(
    null: float, threshold: float, expected: str
) -> None:
    logits = scored(14, {0: null / 2, 8: 3.0}, {0: null / 2, 9: 3.0})
    answers = ask(logits, {"null_threshold": threshold}, top_k=30)
    assert answers[0].text == expected
    assert [(one.start, one.end) for one in answers if one.text == ""] == [(0, 0)]
    assert len(answers) == NUM_BEST + 1
    assert sum(answer.score for answer in answers) == pytest.approx(1)
    # The difference of the two best scores, 6 and `null`, in either order.
    by_text = {answer.text: answer.score for answer in answers}
    assert np.log(by_text[""] / by_text["Goethe"]) == pytest.approx(null - 6)


def test_the_window_that_doubts_no_answer_most_decides_about_it() -> None:
    surely = scored(14, {0: 9.0}, {0: 9.0})
    hardly = scored(14, {0: 1.0, 8: 3.0}, {0: 1.0, 9: 3.0})
    spec = spec_of(null_threshold=0.0)
    (answer,) = find_answers(spec, CONTEXT, [window(), window()], [surely, hardly])
    assert answer.text == "Goethe"


def test_a_context_where_nothing_fits_together_has_no_answer() -> None:
    text = " ".join(["x"] * 60)
    encoded = encode(text, ["x"] * 60)
    rising = np.arange(62, dtype=np.float32)
    backwards = np.stack([rising, -rising], axis=1)  # the best ends all lie before the best starts
    for rules, score in (({}, 0.0), ({"null_threshold": 0.0}, 1.0)):
        answers = find_answers(spec_of(**rules), text, [encoded], [backwards])
        assert answers == [TextAnswer("", score, 0, 0)]


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        pytest.param("so 👩\u200d🔬 da", ["so", "👩", "🔬", "da"], "👩\u200d🔬", id="zwj"),
        pytest.param("ja 👍🏽 x", ["ja", "👍", "🏽", "x"], "👍🏽", id="skin tone"),
        pytest.param("e cafe\u0301 x", ["e", "cafe", "\u0301", "x"], "cafe\u0301", id="mark"),
        pytest.param("我愛東京。", ["我", "愛", "東", "京"], "愛東", id="ideographs"),
        pytest.param("א שלום עולם.", ["א", "שלום", "עולם"], "שלום עולם", id="right to left"),
    ],
)
def test_answers_are_whole_characters_of_the_context(
    text: str, words: list[str], expected: str
) -> None:
    encoded = encode(text, words)
    logits = scored(len(encoded.token_ids), {2: 5.0}, {3: 5.0})
    (answer,) = find_answers(spec_of(), text, [encoded], [logits])
    assert answer.text == text[answer.start : answer.end] == expected


@given(token_cases(2), st.sampled_from([None, 0.0]), st.integers(1, 25))
def test_answers_are_slices_that_differ_the_best_first(
    case: tuple[str, EncodedText, Logits], threshold: float | None, top_k: int
) -> None:
    text, encoded, logits = case
    answers = find_answers(
        spec_of(null_threshold=threshold), text, [encoded], [logits], top_k=top_k
    )
    assert 1 <= len(answers) <= top_k
    assert len({(one.start, one.end) for one in answers}) == len(answers)
    for answer in answers:
        assert 0 <= answer.start <= answer.end <= len(text)
        assert answer.text == text[answer.start : answer.end] == answer.text.strip()
        assert 0 <= answer.score <= 1
    scores = [answer.score for answer in answers]
    assert scores == sorted(scores, reverse=True)
