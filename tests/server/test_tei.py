import pytest

from tests.server.conftest import Serve
from tests.server.rest import Rest

ROUTE = "/predict"


@pytest.mark.parametrize(
    "inputs", [pytest.param("good", id="a text"), pytest.param(["good"], id="a list of one text")]
)
def test_one_text_returns_a_flat_list_of_scores_from_the_highest(
    rest: Rest, inputs: object
) -> None:
    response = rest.call("POST", ROUTE, json={"model": "examples/mood", "inputs": inputs})
    scores = response.json()
    assert [set(score) for score in scores] == [{"score", "label"}] * 2
    assert scores[0]["score"] >= scores[1]["score"]
    assert sum(score["score"] for score in scores) == pytest.approx(1)


def test_two_texts_in_a_list_are_one_pair(rest: Rest) -> None:
    body = {"model": "acme/pair", "inputs": ["a good film", "a great film"]}
    pair = rest.call("POST", ROUTE, "acme", json=body).json()
    assert {score["label"] for score in pair} == {"no", "yes"}


def test_a_list_of_lists_is_a_batch_of_texts_and_pairs(rest: Rest) -> None:
    body = {"model": "acme/pair", "inputs": [["a good film", "poor"], ["late", "train"]]}
    batch = rest.call("POST", ROUTE, "acme", json=body).json()
    assert [len(scores) for scores in batch] == [2, 2]


def test_a_batch_of_one_is_still_a_list_of_lists(rest: Rest) -> None:
    body = {"model": "examples/mood", "inputs": [["good"]]}
    (scores,) = rest.call("POST", ROUTE, json=body).json()
    assert {score["label"] for score in scores} == {"good", "bad"}


def test_raw_scores_are_logits(serve: Serve) -> None:
    rest, _ = serve()
    body = {"model": "examples/topics", "inputs": "x", "raw_scores": True}
    scores = rest.call("POST", ROUTE, json=body).json()
    assert scores == [
        {"label": label, "score": score}
        for label, score in (("war", 3.0), ("trade", 2.0), ("sport", 1.0), ("art", 0.0))
    ]


def test_headers_report_the_cost_of_the_request(rest: Rest) -> None:
    response = rest.call("POST", ROUTE, json={"model": "examples/mood", "inputs": "good"})
    assert response.headers["x-compute-tokens"] == "3"
    for name in ("x-queue-time", "x-inference-time", "x-total-time"):
        assert response.headers[name].isdecimal()


def test_the_default_model_serves_requests_without_a_model(serve: Serve) -> None:
    rest, _ = serve(default_model="examples/mood")
    response = rest.call("POST", ROUTE, json={"inputs": "good", "truncate": None})
    assert response.json()[0]["label"] == "good"


def test_a_text_that_is_too_long_is_rejected_without_truncation(rest: Rest) -> None:
    body = {"model": "examples/mood", "inputs": "good " * 50, "truncate": False}
    response = rest.call("POST", ROUTE, json=body)
    assert response.status_code == 422
    assert response.json()["error_type"] == "Validation"
    assert "at most 16" in response.json()["error"]


@pytest.mark.parametrize("inputs", [[{"text": "good"}], [{"text": "good"}, {"text": "awful"}]])
def test_the_root_classifies_the_texts_of_objects_and_not_their_field_names(
    rest: Rest, inputs: list[dict[str, str]]
) -> None:
    body = {"model": "examples/mood", "inputs": inputs}
    batch = rest.call("POST", "/", json=body).json()
    texts = [item["text"] for item in inputs]
    each = [
        rest.call("POST", ROUTE, json={"model": "examples/mood", "inputs": text}).json()
        for text in texts
    ]
    scores = [[score["score"] for score in item] for item in batch]
    assert scores == [pytest.approx([score["score"] for score in item], abs=1e-5) for item in each]
