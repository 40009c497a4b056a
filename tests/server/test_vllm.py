import pytest

from prefixes.backbone import Backbone
from prefixes.spec import Decisions
from tests.factories import make_prefix
from tests.server.rest import Rest, put

ROUTE = "/classify"


def test_every_text_gets_its_label_and_probabilities_in_the_order_of_the_labels(
    rest: Rest,
) -> None:
    body = {"model": "examples/mood", "input": ["good", "bad film"]}
    answer = rest.call("POST", ROUTE, json=body).json()
    assert answer["object"] == "list"
    assert answer["id"].startswith("classify-")
    assert answer["model"] == "examples/mood@1"
    assert [item["index"] for item in answer["data"]] == [0, 1]
    for item in answer["data"]:
        assert item["num_classes"] == len(item["probs"]) == 2
        assert sum(item["probs"]) == pytest.approx(1)
        best = item["probs"].index(max(item["probs"]))
        assert item["label"] == ("bad", "good")[best]
        assert {score["label"]: score["score"] for score in item["scores"]} == pytest.approx(
            dict(zip(("bad", "good"), item["probs"], strict=True))
        )
    assert answer["usage"] == {
        "prompt_tokens": 7,
        "total_tokens": 7,
        "completion_tokens": 0,
        "prompt_tokens_details": None,
    }


def test_a_label_that_a_rule_withholds_is_null(rest: Rest, backbone: Backbone) -> None:
    rules = Decisions(min_score=1.0)
    put(rest.registry, "examples/shy", make_prefix(backbone.fingerprint, decisions=rules))
    answer = rest.call("POST", ROUTE, json={"model": "examples/shy", "input": "good"}).json()
    assert answer["data"][0]["label"] is None
    assert sum(answer["data"][0]["probs"]) == pytest.approx(1)


def test_a_single_text_is_a_list_of_one(rest: Rest) -> None:
    body = {"model": "examples/mood", "input": "good", "request_id": "mine"}
    answer = rest.call("POST", ROUTE, json=body).json()
    assert len(answer["data"]) == 1
    assert answer["id"] == "classify-mine"


def test_a_text_that_is_too_long_is_cut_only_on_request(rest: Rest) -> None:
    body = {"model": "examples/mood", "input": "good " * 50}
    assert rest.call("POST", ROUTE, json=body).status_code == 422
    cut = rest.call("POST", ROUTE, json={**body, "truncate_prompt_tokens": -1})
    assert cut.json()["usage"]["prompt_tokens"] == 16


def test_other_invalid_input_is_rejected_with_an_explanation(rest: Rest) -> None:
    response = rest.call("POST", ROUTE, json={"model": "examples/mood", "input": [{"text": "x"}]})
    assert response.status_code == 422
    error = response.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["code"] == "invalid_request"
    assert error["param"] == "input[0]"
