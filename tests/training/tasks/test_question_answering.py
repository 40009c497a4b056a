"""Question answering: answers become tokens of windows, and are scored as SQuAD scores them."""

from pathlib import Path
from typing import Any, Final

import pytest

from prefixes import AnswerSpec, PrefixSpec
from prefixes.backbone import Backbone, EncodedText
from tests.factories import make_spec
from tests.training.learnable_tasks import make_config, question_rows, start, train_all, write_jsonl
from training.data.parts import load_task
from training.errors import DataRejected
from training.learning.evaluate import evaluate
from training.learning.learner import describe
from training.tasks import definition_of
from training.tasks.answer_scores import normalized, score_answers
from training.tasks.question_answering import AcceptedAnswer, answer_place

TASK_TYPE: Final = "question_answering"
NO_ANSWER: dict[str, list[Any]] = {"text": [], "answer_start": []}
CONTEXT = "the film is late and my money is lost now"


def make_rows(*answers: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [{"question": "what is it", "context": CONTEXT, "answers": one} for one in answers]


def at(text: str) -> dict[str, list[Any]]:
    return {"text": [text], "answer_start": [CONTEXT.index(text)]}


def windows_of(backbone: Backbone, max_length: int) -> tuple[PrefixSpec, list[EncodedText]]:
    spec = make_spec(
        backbone.fingerprint,
        task_type=TASK_TYPE,
        max_length=max_length,
        answers=AnswerSpec(stride=2),
    )
    (encoded,) = backbone.texts.encode(spec, [{"question": "what is it", "context": CONTEXT}])
    return spec, list(encoded)


def test_an_answer_is_found_in_the_windows_that_have_all_of_it(backbone: Backbone) -> None:
    # [CLS] what is it [SEP] five words of the context [SEP]; windows overlap by two
    spec, windows = windows_of(backbone, 11)
    answer = AcceptedAnswer("my money", CONTEXT.index("my money"))
    pieces = definition_of(TASK_TYPE).pieces(spec, (answer,), tuple(windows))
    # the film is late and | late and my money is | money is lost now
    assert [piece.target.tolist() for piece in pieces] == [[0, 0], [7, 8], [0, 0]]
    assert [piece.texts for piece in pieces] == [(window,) for window in windows]


def test_the_place_of_an_answer_is_the_slice_that_its_tokens_cover(backbone: Backbone) -> None:
    _, (window,) = windows_of(backbone, 64)
    for text in ("the", "now", "late and my", " money ", "oney is l"):
        first, last = answer_place(AcceptedAnswer(text, CONTEXT.index(text)), window)
        start, end = window.spans[first], window.spans[last]
        assert start is not None
        assert end is not None
        found = CONTEXT[start[0] : end[1]]
        assert text.strip() in found
        assert len(found.split()) == len(text.split())


def test_without_an_answer_every_window_points_to_its_first_token(backbone: Backbone) -> None:
    spec, windows = windows_of(backbone, 11)
    pieces = definition_of(TASK_TYPE).pieces(spec, (), tuple(windows))
    assert [piece.target.tolist() for piece in pieces] == [[0, 0]] * 3


def test_the_first_accepted_answer_is_the_one_that_is_learned(backbone: Backbone) -> None:
    spec, windows = windows_of(backbone, 64)
    answers = (AcceptedAnswer("film", 4), AcceptedAnswer("money", CONTEXT.index("money")))
    (piece,) = definition_of(TASK_TYPE).pieces(spec, answers, tuple(windows))
    assert piece.target.tolist() == [6, 6]


def test_none_is_an_answer_only_where_some_question_has_none(
    backbone: Backbone, tmp_path: Path
) -> None:
    always, sometimes = (
        make_config(
            write_jsonl(tmp_path / f"{name}.jsonl", make_rows(*answers)), task_type=TASK_TYPE
        )
        for name, answers in {
            "always": [at("film"), at("money"), at("late")],
            "sometimes": [at("film"), NO_ANSWER, at("late")],
        }.items()
    )
    described = [describe(config, load_task(config), backbone) for config in (always, sometimes)]
    assert described[0].answers == AnswerSpec(stride=128, max_answer_tokens=30)
    assert described[1].answers == AnswerSpec(null_threshold=0.0)


def test_windows_of_a_question_are_as_long_as_the_backbone_lets_them_be(
    backbone: Backbone, tmp_path: Path
) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", make_rows(at("film"), at("money"), at("late")))
    config = make_config(path, task_type=TASK_TYPE, max_length=None, prefix_length=20)
    assert describe(config, load_task(config), backbone).max_length == 300  # of 384 wanted


def test_answers_may_be_a_list_of_objects(tmp_path: Path) -> None:
    of_lists = make_rows({"text": ["film", "money"], "answer_start": [4, 24]}, NO_ANSWER)
    objects = [{"text": "film", "answer_start": 4}, {"text": "money", "answer_start": 24}]
    of_objects = [{**of_lists[0], "answers": objects}, {**of_lists[1], "answers": []}]
    first, second = (
        load_task(make_config(path, validation=path, task_type=TASK_TYPE)).train.truths
        for path in (
            write_jsonl(tmp_path / "lists.jsonl", of_lists),
            write_jsonl(tmp_path / "objects.jsonl", of_objects),
        )
    )
    assert first == second
    assert first[0] == (AcceptedAnswer("film", 4), AcceptedAnswer("money", 24))


@pytest.mark.parametrize(
    ("answer", "gold", "f1", "exact"),
    [
        pytest.param("The Money!", ["money"], 1, 1, id="case-article-punctuation"),
        pytest.param("my lost money", ["lost money now"], 2 / 3, 0, id="overlap"),
        pytest.param("money money", ["money"], 2 / 3, 0, id="words-count-once"),
        pytest.param("money", ["film", "the  money"], 1, 1, id="best-of-several"),
        pytest.param("", [], 1, 1, id="rightly-none"),
        pytest.param("money", [], 0, 0, id="wrongly-some"),
        pytest.param("", ["money"], 0, 0, id="wrongly-none"),
    ],
)
def test_answers_are_scored_as_squad_scores_them(
    answer: str, gold: list[str], f1: float, exact: int
) -> None:
    result = score_answers([answer], [gold])
    assert result.metrics == {"f1": pytest.approx(f1), "exact_match": exact}


def test_words_within_words_are_no_articles() -> None:
    assert normalized("An anthem, a 'the' theatre") == ["anthem", "theatre"]


def test_everything_wrong_with_rows_is_told(tmp_path: Path) -> None:
    sound = make_rows(at("film"))[0]
    path = write_jsonl(
        tmp_path / "rows.jsonl",
        [
            sound,
            {**sound, "answers": {"text": ["film"], "answer_start": [5]}},
            {**sound, "answers": {"text": ["film"], "answer_start": []}},
            {**sound, "answers": {"text": ["film"], "answer_start": ["4"]}},
            {**sound, "answers": "film"},
            {**sound, "answers": {"text": [" "], "answer_start": [3]}},
            {
                **sound,
                "context": "the \u200b film",
                "answers": {"text": ["\u200b"], "answer_start": [4]},
            },
            {**sound, "question": ""},
            {"question": "what", "answers": NO_ANSWER},
        ],
    )
    with pytest.raises(DataRejected) as caught:
        load_task(make_config(path, task_type=TASK_TYPE))
    told = {(one.line, one.message) for one in caught.value.problems}
    place = "'answers': expected characters of the context, but "
    absent = (
        "is missing; give every row a value, or name another column with text_column or pair_column"
    )
    lists = (
        "'answers': expected text and answer_start, lists of one length, or a list of objects with "
        "both, found "
    )
    invisible = "\u200b"
    assert told == {
        (2, f"{place}'film' does not stand at 5"),
        (3, f"{lists}{{'text': ['film'], 'answer_start': []}}"),
        (4, f"{place}'film' does not stand at '4'"),
        (5, f"{lists}'film'"),
        (6, f"{place}' ' does not stand at 3"),
        (7, f"{place}{invisible!r} does not stand at 4"),
        (8, "'question': expected text, found an empty text"),
        (9, f"'context': {absent}, found only the columns question, answers"),
    }


def test_questions_that_all_have_no_answer_are_refused(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", make_rows(NO_ANSWER, NO_ANSWER))
    with pytest.raises(DataRejected, match="no question has an answer"):
        load_task(make_config(path, task_type=TASK_TYPE))


def test_answers_of_long_contexts_are_learned_window_by_window(
    backbone: Backbone, tmp_path: Path
) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", question_rows(64, num_words=20))
    config = make_config(
        path, task_type=TASK_TYPE, max_length=18, stride=2, epochs=10, batch_size=16
    )
    run = start(backbone, config)
    assert len(run.pieces) > 64
    train_all(backbone, [run])
    assert run.best is not None
    assert run.best_prefix is not None
    assert run.best.metrics["f1"] > 0.9
    data = load_task(config)
    measured = evaluate(backbone, run.best_prefix, data.validation, tokens_per_batch=50)
    assert measured.metrics == run.best.metrics


def test_questions_that_say_they_are_impossible_have_no_answer_and_are_told(
    tmp_path: Path,
) -> None:
    rows = question_rows(12)
    rows[1]["is_impossible"] = True
    rows[4]["is_impossible"] = "True"
    rows[5] |= {"is_impossible": True, "answers": {"text": [], "answer_start": []}}
    rows[6]["is_impossible"] = False
    rows[8] |= {"is_impossible": False, "answers": {"text": [], "answer_start": []}}
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    data = load_task(make_config(path, task_type=TASK_TYPE, validation=path))
    assert [bool(truth) for truth in data.train.truths] == [
        number not in {1, 4, 5, 8} for number in range(12)
    ]
    assert [warning for warning in data.warnings if "is_impossible" in warning] == [
        (
            "rows.jsonl: 2 row(s) have an answer although is_impossible says true, at lines 2, 5: "
            "they are trained as questions without an answer"
        ),
        (
            "rows.jsonl: 1 row(s) have no answer although is_impossible says false, at line 9: "
            "they are trained as questions without an answer"
        ),
    ]
