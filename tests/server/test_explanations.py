"""Explanations over HTTP, with the real engine: each part's row is what a caller could send."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from prefixes import InputTemplate
from prefixes.backbone import Backbone
from prefixes.registry import UsageLog, open_registry
from prefixes.registry.usage import UsageFilter
from tests.factories import make_prefix
from tests.server.conftest import Serve
from tests.server.management import manage
from tests.server.rest import Rest, put, serving
from tests.server.test_bad_requests import check_problem

CLASSIFY, PREDICT = "/v1/classify", "/v1/predict"
LABELS = tuple(f"label {number}" for number in range(300))
HARD = [
    pytest.param("a very good film", id="plain"),
    pytest.param("the 👩\u200d🔬 lost a 🇩🇪🇫🇷 card 👍🏽!", id="emoji"),
    pytest.param("a cafe\u0301 in the ci\u0327ty", id="combining marks"),
    pytest.param("我愛東京 and 漢字", id="ideographs"),
    pytest.param("the שלום מזל book", id="right to left"),
    pytest.param("\U0001d49c good\u200b [SEP] film\r\n", id="astral and invisible"),
    pytest.param("good", id="one word"),
]


@pytest.fixture(scope="module")
def rest(backbone: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rest]:
    folder = tmp_path_factory.mktemp("explanations")
    with serving(folder, backbone, max_inputs_per_request=40) as running:
        twice = InputTemplate(text="{text} is it {topic}", text_pair="again {text}")
        new = {
            "twice": make_prefix(backbone.fingerprint, seed=31, input=twice, max_length=32),
            "many": make_prefix(backbone.fingerprint, seed=32, labels=LABELS),
            "one": make_prefix(
                backbone.fingerprint,
                seed=33,
                problem_type="multi_label_classification",
                labels=("only",),
            ),
            "stars": make_prefix(
                backbone.fingerprint,
                seed=34,
                problem_type="regression",
                labels=("stars", "price"),
            ),
        }
        for task, prefix in new.items():
            put(running.registry, f"examples/{task}", prefix)
        yield running


def ask(rest: Rest, fields: Any, route: str = CLASSIFY, **body: Any) -> list[dict[str, Any]]:
    response = rest.call("POST", route, "acme", json={"input": fields, **body})
    assert response.status_code == 200, response.text
    results: list[dict[str, Any]] = response.json()["results"]
    return results


def logits(rest: Rest, model: str, fields: Any, **body: Any) -> dict[str, float]:
    (result,) = ask(rest, fields, model=model, function_to_apply="none", **body)
    return {score["label"]: score["score"] for score in result["scores"]}


def explain(rest: Rest, model: str, fields: Any, **body: Any) -> dict[str, Any]:
    """The explanation, after every part of it was compared with a request for the rest."""
    (result,) = ask(rest, fields, model=model, explain="occlusion", **body)
    found: dict[str, Any] = result["explanation"]
    named = fields if isinstance(fields, dict) else {"text": fields}
    label, logit = found["label"], found["logit"]
    assert logit == pytest.approx(logits(rest, model, fields)[label], abs=1e-5)
    for part in found["parts"]:
        field, start, end = part["field"], part["start"], part["end"]
        assert part["text"] == named[field][start:end]
        others = named | {field: named[field][:start] + named[field][end:]}
        if "change" in part:
            expected = logits(rest, model, others)[label]
            assert logit + part["change"] == pytest.approx(expected, abs=1e-5)
        else:
            response = rest.call("POST", CLASSIFY, "acme", json={"model": model, "input": others})
            check_problem(response, 422, "input_rejected")
    return found


@pytest.mark.parametrize("text", HARD)
def test_each_part_equals_a_request_without_it(rest: Rest, text: str) -> None:
    found = explain(rest, "examples/mood", text)
    assert found["parts"]
    assert not found["grouped"]


def test_the_rest_of_the_result_is_that_of_an_ordinary_request(rest: Rest) -> None:
    (plain,) = ask(rest, "a very good film", model="examples/mood")
    (result,) = ask(rest, "a very good film", model="examples/mood", explain="occlusion")
    explanation = result.pop("explanation")
    assert explanation["method"] == "occlusion"
    assert explanation["label"] == plain["label"]
    assert result.pop("usage") == {"tokens": 6 + 4 * 5, "truncated": False}
    assert plain.pop("usage") == {"tokens": 6, "truncated": False}
    for one, other in zip(plain.pop("scores"), result.pop("scores"), strict=True):
        assert one["label"] == other["label"]
        assert one["score"] == pytest.approx(other["score"], abs=1e-5)
    assert result == plain


def test_a_single_word_has_no_change(rest: Rest) -> None:
    (part,) = explain(rest, "examples/mood", " good ")["parts"]
    assert part == {"field": "text", "start": 1, "end": 5, "text": "good"}


def test_pairs_are_explained_by_the_words_of_both_fields(rest: Rest) -> None:
    fields = {"text_a": "a good film", "text_b": "poor"}
    found = explain(rest, "acme/pair", fields)
    assert [(part["field"], part["text"]) for part in found["parts"]] == [
        ("text_a", "a"),
        ("text_a", "good"),
        ("text_a", "film"),
        ("text_b", "poor"),
    ]


def test_a_field_with_several_placeholders_is_occluded_in_all_of_them(rest: Rest) -> None:
    found = explain(rest, "examples/twice", {"text": "good card", "topic": "my book"})
    assert len(found["parts"]) == 4


def test_every_label_may_be_explained(rest: Rest) -> None:
    raw = logits(rest, "examples/many", "a late train")
    best = explain(rest, "examples/many", "a late train")
    assert best["label"] == max(raw, key=raw.__getitem__)
    for label in (LABELS[0], LABELS[299]):
        assert explain(rest, "examples/many", "a late train", explain_label=label)["label"] == label
    assert explain(rest, "examples/one", "a late train")["label"] == "only"


def test_a_multi_label_task_explains_its_highest_label(rest: Rest) -> None:
    raw = logits(rest, "examples/topics", "the late train")
    assert explain(rest, "examples/topics", "the late train")["label"] == max(
        raw, key=raw.__getitem__
    )
    assert explain(rest, "examples/topics", "late train", explain_label="war")["label"] == "war"


def test_a_regression_explains_its_value(rest: Rest) -> None:
    assert explain(rest, "examples/rating", "very good")["label"] == "stars"
    assert explain(rest, "examples/stars", "very good", explain_label="price")["label"] == "price"


def test_more_words_than_parts_are_left_out_in_groups(rest: Rest) -> None:
    found = explain(rest, "examples/mood", "a b c d e f g", explain_max_parts=3)
    assert found["grouped"]
    assert [part["text"] for part in found["parts"]] == ["a b", "c d", "e f g"]


def test_words_behind_the_cut_are_no_parts_but_move_up(rest: Rest) -> None:
    text = " ".join(["good"] * 13 + ["bad", "poor", "film", "book"])
    found = explain(rest, "examples/mood", text)  # 14 of its 16 tokens are words
    assert [part["text"] for part in found["parts"]] == ["good"] * 13 + ["bad"]
    fields = {"text": "late " * 40, "topic": "book"}  # the template puts the topic behind it
    assert {part["field"] for part in explain(rest, "examples/twice", fields)["parts"]} == {"text"}


def test_spans_replace_words(rest: Rest) -> None:
    spans = [[2, 11], [0, 3], [2, 3], [0, 16]]
    found = explain(rest, "examples/mood", "a very good film", explain_spans=spans)
    assert [[part["start"], part["end"]] for part in found["parts"]] == spans
    assert ["change" in part for part in found["parts"]] == [True, True, True, False]
    assert not found["grouped"]
    fields = {"text_a": "a good film", "text_b": "poor"}
    found = explain(rest, "acme/pair", fields, explain_spans={"text_b": [[0, 2]]})
    assert [part["text"] for part in found["parts"]] == ["po"]


def test_a_span_behind_the_cut_changes_nothing(rest: Rest) -> None:
    text = "good " * 30
    (part,) = explain(rest, "examples/mood", text, explain_spans=[[140, 144]])["parts"]
    assert part["change"] == pytest.approx(0, abs=1e-5)


def test_only_what_is_read_of_a_very_long_text_is_explained(rest: Rest) -> None:
    text = "good 🇩🇪🇩🇪 film " + " \u0301🇩" * 60_000
    found = explain(rest, "examples/mood", text, explain_max_parts=2)
    assert len(found["parts"]) == 2
    assert found["parts"][1]["end"] < 300


def test_a_mixed_request_explains_as_alone_and_ignores_other_types(rest: Rest) -> None:
    inputs = [
        {"model": "examples/topics", "text": "the late train"},
        {"model": "examples/things", "text": "the book was lost"},
        {"model": "acme/pair", "text_a": "a good film", "text_b": "bad"},
        {"model": "examples/causes", "premise": "it is late", "choices": ["now", "the train"]},
        {"model": "examples/vectors", "text": "hello city"},
        {"model": "examples/facts", "question": "what was lost", "context": "the book was lost"},
        {"model": "examples/rating", "text": "very good"},
    ]
    mixed = ask(rest, inputs, PREDICT, explain="occlusion")
    assert [result["index"] for result in mixed] == list(range(7))
    assert ["explanation" in result for result in mixed] == [True, False, True, *[False] * 3, True]
    for item, result in zip(inputs, mixed, strict=True):
        (alone,) = ask(rest, item, PREDICT, explain="occlusion")
        assert result["usage"] == alone["usage"]
        if "explanation" in alone:
            one, other = alone["explanation"], result["explanation"]
            assert one["logit"] == pytest.approx(other["logit"], abs=1e-5)
            for mine, its in zip(one.pop("parts"), other.pop("parts"), strict=True):
                assert mine.pop("change", 0) == pytest.approx(its.pop("change", 0), abs=1e-5)
                assert mine == its


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"explain": "gradients"}, "invalid_request", "expected 'occlusion'"),
        ({"explain_label": "good"}, "invalid_request", "no effect without `explain`"),
        ({"explain_spans": [[0, 1]]}, "invalid_request", "no effect without `explain`"),
        ({"explain_max_parts": 3}, "invalid_request", "no effect without `explain`"),
        ({"explain": "occlusion", "explain_label": "ugly"}, "input_rejected", "no label 'ugly'"),
        ({"explain": "occlusion", "explain_max_parts": 0}, "invalid_request", "explain_max_parts"),
        ({"explain": "occlusion", "explain_max_parts": 9999}, "invalid_request", "equal to 1000"),
        ({"explain": "occlusion", "explain_spans": []}, "invalid_request", "explain_spans"),
        ({"explain": "occlusion", "explain_spans": {}}, "invalid_request", "explain_spans"),
        ({"explain": "occlusion", "explain_spans": "all"}, "invalid_request", "list of [start,"),
        ({"explain": "occlusion", "explain_spans": [[1]]}, "invalid_request", "explain_spans[0]"),
        ({"explain": "occlusion", "explain_spans": [[-1, 2]]}, "invalid_request", "spans[0][0]"),
        ({"explain": "occlusion", "explain_spans": [[0, 1.5]]}, "invalid_request", "spans[0][1]"),
        ({"explain": "occlusion", "explain_spans": [[2, 2]]}, "input_rejected", "start < end"),
        ({"explain": "occlusion", "explain_spans": [[0, 12]]}, "input_rejected", "end <= 11"),
        ({"explain": "occlusion", "explain_spans": {"x": [[0, 1]]}}, "input_rejected", "'x'"),
        (
            {"explain": "occlusion", "explain_spans": [[0, 1]], "explain_max_parts": 3},
            "invalid_request",
            "Omit one of them",
        ),
    ],
)
def test_misuse_is_reported(rest: Rest, body: dict[str, Any], code: str, message: str) -> None:
    for route in (CLASSIFY, PREDICT):
        answer = rest.call(
            "POST", route, json={"model": "examples/mood", "input": "a good film", **body}
        )
        problem = check_problem(answer, 422, code)
        assert message in problem["detail"], problem


def test_an_option_that_does_not_fit_one_of_several_inputs_names_it(rest: Rest) -> None:
    body = {
        "input": [
            {"model": "examples/topics", "text": "a film"},
            {"model": "examples/mood", "text": "a film"},
        ],
        "explain": "occlusion",
    }
    answer = rest.call("POST", CLASSIFY, json={**body, "explain_label": "war"})
    assert check_problem(answer, 422, "input_rejected")["detail"].startswith("input[1]: ")
    answer = rest.call("POST", CLASSIFY, json={**body, "explain_spans": [[0, 1]]})
    assert "applies to one input" in check_problem(answer, 422, "input_rejected")["detail"]


def test_too_long_texts_are_rejected_if_they_must_not_be_cut(rest: Rest) -> None:
    body = {"model": "examples/mood", "input": "good " * 30, "explain": "occlusion"}
    answer = rest.call("POST", CLASSIFY, json={**body, "truncate": False})
    check_problem(answer, 422, "text_too_long")


def test_other_routes_do_not_have_the_option(rest: Rest) -> None:
    body = {"model": "examples/things", "input": "a book", "explain": "occlusion"}
    answer = rest.call("POST", "/v1/token-classification", json=body)
    check_problem(answer, 422, "invalid_request")


def test_parts_count_as_texts_of_the_request(rest: Rest) -> None:
    body = {"model": "examples/mood", "explain": "occlusion"}
    words = ["a good film on a late train now"] * 4  # 36 texts
    assert len(ask(rest, words, **body)) == 4
    answer = rest.call("POST", CLASSIFY, json={**body, "input": [*words, words[0]]})
    problem = check_problem(answer, 413, "too_many_inputs")
    assert "become 45 texts" in problem["detail"]
    assert "at most 40 texts" in problem["detail"]


def test_parts_count_for_the_limits_and_the_usage_of_the_tenant(
    backbone: Backbone, tmp_path: Path
) -> None:
    with serving(tmp_path, backbone) as rest:
        manage(rest, "PATCH", "/tenants/acme/limits", json={"max_in_flight_texts": 4})
        (result,) = ask(rest, "a good film", model="acme/mood", explain="occlusion")
        body = {"model": "acme/mood", "input": "a very good film", "explain": "occlusion"}
        problem = check_problem(
            rest.call("POST", CLASSIFY, "acme", json=body), 413, "too_many_inputs"
        )
        assert "max_in_flight_texts" in problem["detail"]
    registry = open_registry(tmp_path)  # the server wrote its usage as it stopped
    (row,) = UsageLog(registry.database).list(UsageFilter(), limit=9)
    assert (row.requests, row.texts, row.tokens) == (1, 4, result["usage"]["tokens"])
    assert row.tokens == 5 + 3 * 4


def test_a_request_without_the_option_has_no_explanation(rest: Rest, serve: Serve) -> None:
    (result,) = ask(rest, "a good film", model="examples/mood")
    assert "explanation" not in result
    fake, _ = serve()
    assert "explanation" not in ask(fake, "a good film", model="examples/mood", explain=None)[0]
