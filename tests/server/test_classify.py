from typing import Any

import pytest

from prefixes.registry import Actor
from tests.server.conftest import Serve
from tests.server.rest import Rest

ROUTE = "/v1/classify"


def ask(rest: Rest, tenant: str | None = None, **body: Any) -> dict[str, Any]:
    response = rest.call("POST", ROUTE, tenant, json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_one_text_gets_its_label_and_all_scores_sorted(rest: Rest) -> None:
    (result,) = ask(rest, model="examples/mood", input="a good film")["results"]
    assert result["model"] == "examples/mood@1"
    assert result["problem_type"] == "single_label_classification"
    scores = [score["score"] for score in result["scores"]]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1)
    assert result["label"] == result["scores"][0]["label"]
    assert {score["label"] for score in result["scores"]} == {"good", "bad"}
    assert result["usage"] == {"tokens": 5, "truncated": False}


def test_one_request_mixes_tasks_and_keeps_the_order_of_its_inputs(rest: Rest) -> None:
    answer = ask(
        rest,
        "acme",
        input=[
            {"model": "examples/topics", "text": "the late train"},
            {"model": "acme/pair@1", "text_a": "a good film", "text_b": "a great film"},
            "this is poor",
            {"model": "examples/rating:live", "text": "very good"},
        ],
        model="mood",
    )
    results = answer["results"]
    assert [result["model"] for result in results] == [
        "examples/topics@1",
        "acme/pair@1",
        "acme/mood@1",
        "examples/rating@1",
    ]
    assert [result["index"] for result in results] == [0, 1, 2, 3]
    assert answer["usage"]["tokens"] == sum(result["usage"]["tokens"] for result in results)


def test_a_mixed_request_answers_as_each_input_alone(rest: Rest) -> None:
    items = [
        {"model": "examples/topics", "text": "the late train"},
        {"model": "examples/mood", "text": "a very good film and a great plot"},
        {"model": "examples/rating", "text": "poor"},
    ]
    together = ask(rest, input=items)["results"]
    for item, mixed in zip(items, together, strict=True):
        (alone,) = ask(rest, input=item)["results"]
        for one, other in zip(alone["scores"], mixed["scores"], strict=True):
            assert one["label"] == other["label"]
            assert one["score"] == pytest.approx(other["score"], abs=1e-5)


def test_a_multi_label_task_lists_labels_above_their_threshold(rest: Rest) -> None:
    (result,) = ask(rest, model="examples/topics", input="the late train")["results"]
    above = {score["label"] for score in result["scores"] if score["score"] >= 0.5}
    assert set(result["labels"]) == above
    assert "label" not in result


def test_a_regression_returns_its_value_without_activation(rest: Rest) -> None:
    (plain,) = ask(rest, model="examples/rating", input="very good")["results"]
    (raw,) = ask(rest, model="examples/rating", input="very good", function_to_apply="none")[
        "results"
    ]
    assert plain["value"] == raw["value"] == plain["scores"][0]["score"]
    assert "label" not in plain


def test_top_k_limits_the_scores_but_not_the_label(rest: Rest) -> None:
    (result,) = ask(rest, model="examples/topics", input="now", top_k=2)["results"]
    assert len(result["scores"]) == 2


@pytest.mark.parametrize("function", ["softmax", "sigmoid", "none"])
def test_a_request_may_select_the_activation(serve: Serve, function: str) -> None:
    rest, _ = serve()
    (result,) = ask(rest, model="examples/topics", input="x", function_to_apply=function)["results"]
    scores = [score["score"] for score in result["scores"]]
    expected = {
        "softmax": [0.6439, 0.2369, 0.0871, 0.0321],
        "sigmoid": [0.9526, 0.8808, 0.7311, 0.5],
        "none": [3.0, 2.0, 1.0, 0.0],
    }[function]
    assert scores == pytest.approx(expected, abs=1e-4)


def test_a_bare_text_fills_the_only_field_of_any_name(rest: Rest) -> None:
    bare = ask(rest, model="examples/mood", input="good")["results"][0]
    named = ask(rest, model="examples/mood", input={"text": "good"})["results"][0]
    assert bare["scores"] == named["scores"]


def test_a_text_that_is_too_long_is_cut_and_reported_as_truncated(rest: Rest) -> None:
    (result,) = ask(rest, model="examples/mood", input="good " * 50)["results"]
    assert result["usage"] == {"tokens": 16, "truncated": True}


def test_the_default_model_serves_requests_without_a_model(serve: Serve) -> None:
    rest, _ = serve(default_model="examples/topics")
    (result,) = ask(rest, input="x")["results"]
    assert result["model"] == "examples/topics@1"


def test_a_request_may_lower_its_time_but_not_raise_it(serve: Serve) -> None:
    rest, engine = serve(request_timeout_seconds=5)
    body = {"model": "examples/mood", "input": "x"}
    for milliseconds in ("250", "60000"):
        rest.call("POST", ROUTE, json=body, headers={"X-Timeout-Ms": milliseconds})
    assert engine.timeouts == [0.25, 5]


def test_a_moved_alias_applies_to_the_next_request(serve: Serve, rest: Rest) -> None:
    fake, _ = serve()
    fake.registry.promote("examples", "mood", "trial", 1, by=Actor("test"))
    (result,) = ask(fake, model="examples/mood:trial", input="x")["results"]
    assert result["model"] == "examples/mood@1"
