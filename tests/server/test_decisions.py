"""Rules that turn scores into answers: of the file and of the request."""

from typing import Any

import pytest

from prefixes.backbone import Backbone
from prefixes.spec import Decisions, Hierarchy
from tests.factories import make_prefix
from tests.server.rest import Rest, put
from tests.server.test_bad_requests import check_problem

SURE = "examples/sure"


@pytest.fixture(scope="module")
def ruled(rest: Rest, backbone: Backbone) -> Rest:
    """A server with a task whose file withholds every answer."""
    decisions = Decisions(min_score=1.0)
    put(rest.registry, SURE, make_prefix(backbone.fingerprint, seed=4, decisions=decisions))
    return rest


TREE = "examples/tree"
LABELS = ("ship", "bill/late", "bill/refund", "bill/fee")


@pytest.fixture(scope="module")
def tree(ruled: Rest, backbone: Backbone) -> Rest:
    """A server with a task whose labels form a tree."""
    rules = Decisions(hierarchy=Hierarchy.of_labels(LABELS))
    fingerprint = backbone.fingerprint
    prefix = make_prefix(fingerprint, seed=5, labels=LABELS, decisions=rules)
    put(ruled.registry, TREE, prefix)
    return ruled


def ask(rest: Rest, route: str = "/v1/classify", **body: Any) -> list[dict[str, Any]]:
    response = rest.call("POST", route, json=body)
    assert response.status_code == 200, response.text
    results: list[dict[str, Any]] = response.json()["results"]
    return results


def test_a_withheld_label_is_null_and_the_scores_stay(ruled: Rest) -> None:
    (plain,) = ask(ruled, model=SURE, input="a good film", abstain=False)
    (result,) = ask(ruled, model=SURE, input="a good film")
    assert plain["abstained"] is False
    assert "reason" not in plain
    assert result["label"] is None
    assert result["abstained"] is True
    assert result["reason"] == "min_score"
    assert "labels" not in result
    assert [one["score"] for one in result["scores"]] == [one["score"] for one in plain["scores"]]


def test_results_without_rules_have_no_further_members(ruled: Rest) -> None:
    (result,) = ask(ruled, model="examples/mood", input="a good film")
    assert set(result) == {
        "index",
        "model",
        "usage",
        "task_type",
        "problem_type",
        "label",
        "scores",
    }


def test_rules_of_a_request_replace_those_of_the_file(ruled: Rest) -> None:
    texts = ["a good film", "the late train", "poor"]
    for min_score in (0, 0.5, 0.9):
        for result in ask(ruled, model=SURE, input=texts, min_score=min_score):
            best = result["scores"][0]
            assert result["abstained"] is (best["score"] < min_score)
            assert result["label"] == (None if result["abstained"] else best["label"])


def test_thresholds_of_a_request_select_among_labels(ruled: Rest) -> None:
    (plain,) = ask(ruled, model="examples/mood", input="a good film")
    best, other = (one["label"] for one in plain["scores"])
    (result,) = ask(ruled, model="examples/mood", input="a good film", thresholds={best: 1})
    assert result["label"] == other
    all_labels = {best: 1, other: 1}
    (result,) = ask(ruled, model="examples/mood", input="a good film", thresholds=all_labels)
    assert (result["label"], result["reason"]) == (None, "below_threshold")


def test_probabilities_decide_whichever_scores_are_returned(ruled: Rest) -> None:
    for function in ("softmax", "sigmoid", "none"):
        body = {"model": "examples/mood", "input": "good", "function_to_apply": function}
        (result,) = ask(ruled, **body, min_score=1.0)
        assert result["reason"] == "min_score"


def test_thresholds_and_the_minimum_apply_to_several_labels(ruled: Rest) -> None:
    body = {"model": "examples/topics", "input": "the late train"}
    (every,) = ask(ruled, **body, thresholds=dict.fromkeys(("art", "sport", "trade", "war"), 0))
    assert every["labels"] == ["art", "sport", "trade", "war"]
    assert "abstained" not in every
    (none,) = ask(ruled, **body, min_score=1)
    assert none["labels"] == []


def test_rules_in_a_mixed_request_answer_as_each_input_alone(ruled: Rest) -> None:
    items: list[dict[str, Any]] = [
        {"model": SURE, "text": "a very good film and a great plot"},
        {"model": "examples/topics", "text": "the late train"},
        {"model": "examples/things", "text": "the book was lost"},
        {"model": "examples/rating", "text": "poor"},
        {"model": "examples/mood", "text": "poor"},
    ]
    rules = {"thresholds": {"good": 0.7, "art": 0.4}, "min_score": 0.55}
    together = ask(ruled, "/v1/predict", input=items, **rules)
    for index, (item, result) in enumerate(zip(items, together, strict=True)):
        known = {"min_score": 0.55} | (
            {"thresholds": {"good": 0.7}} if item["model"] in {SURE, "examples/mood"} else {}
        )
        known |= {"thresholds": {"art": 0.4}} if item["model"] == "examples/topics" else {}
        (alone,) = ask(ruled, "/v1/predict", input=item, **known)
        for member in ("label", "labels", "abstained", "reason", "value", "entities"):
            if member != "entities":
                assert alone.get(member) == pytest.approx(result.get(member)), (index, member)
        assert [one["score"] for one in alone.get("scores", ())] == pytest.approx(
            [one["score"] for one in result.get("scores", ())], abs=1e-5
        )


@pytest.mark.parametrize(
    ("rules", "code", "named"),
    [
        ({"thresholds": {"nonsense": 0.5}}, "unknown_label", "nonsense"),
        ({"thresholds": {"good": 1.5}}, "invalid_request", "thresholds.good"),
        ({"thresholds": {"good": "0.5"}}, "invalid_request", "thresholds.good"),
        ({"thresholds": [0.5, 0.5]}, "invalid_request", "thresholds"),
        ({"thresholds": {"": 0.5}}, "invalid_request", "thresholds"),
        ({"min_score": -0.1}, "invalid_request", "min_score"),
        ({"min_score": True}, "invalid_request", "min_score"),
        ({"abstain": 0}, "invalid_request", "abstain"),
        ({"abstain": False, "min_score": 0.5}, "invalid_request", "min_score"),
    ],
)
@pytest.mark.parametrize("route", ["/v1/classify", "/v1/predict"])
def test_every_misuse_gets_one_clear_error(
    ruled: Rest, route: str, rules: dict[str, Any], code: str, named: str
) -> None:
    body = {"model": "examples/mood", "input": "good", **rules}
    problem = check_problem(ruled.call("POST", route, json=body), 422, code)
    assert named in str(problem)


def test_scores_of_a_level_are_sums_of_those_of_its_labels(tree: Rest) -> None:
    (leaves,) = ask(tree, model=TREE, input="a good film")
    (top,) = ask(tree, model=TREE, input="a good film", level=1)
    sums = {"bill": 0.0, "ship": 0.0}
    for one in leaves["scores"]:
        sums[one["label"].split("/")[0]] += one["score"]
    assert {one["label"]: one["score"] for one in top["scores"]} == pytest.approx(sums, abs=1e-6)
    assert leaves["path"][-1] == leaves["label"] == leaves["scores"][0]["label"]
    assert leaves["level"] == len(leaves["path"])
    assert (top["level"], top["path"]) == (1, [top["label"]])


def test_an_unsure_answer_backs_off_to_the_parent(tree: Rest) -> None:
    body = {"model": TREE, "input": "a good film"}
    (plain,), (top,) = ask(tree, **body), ask(tree, **body, level=1)
    leaf, parent = plain["scores"][0]["score"], top["scores"][0]["score"]
    assert parent > leaf + 0.01
    (result,) = ask(tree, **body, min_score=(leaf + parent) / 2)
    assert (result["label"], result["level"]) == (top["label"], 1)
    (withheld,) = ask(tree, **body, min_score=min(1, parent + 0.01))
    assert (withheld["label"], withheld["reason"]) == (None, "min_score")
    assert "level" not in withheld


def test_a_level_in_a_mixed_request_applies_to_tasks_with_a_hierarchy(tree: Rest) -> None:
    models = (TREE, "examples/mood", "examples/topics")
    items = [{"model": model, "text": "good"} for model in models]
    results = ask(tree, "/v1/predict", input=items, level=1)
    (alone,) = ask(tree, "/v1/predict", input=items[0], level=1)
    assert results[0]["label"] == alone["label"]
    assert [one["score"] for one in results[0]["scores"]] == pytest.approx(
        [one["score"] for one in alone["scores"]], abs=1e-5
    )
    for result in results[1:]:
        assert not {"level", "path", "abstained"} & set(result)


@pytest.mark.parametrize(
    ("model", "level", "code"),
    [
        (TREE, 3, "invalid_rules"),
        ("examples/mood", 1, "invalid_rules"),
        (TREE, 0, "invalid_request"),
        (TREE, 11, "invalid_request"),
        (TREE, "top", "invalid_request"),
        (TREE, 1.5, "invalid_request"),
    ],
)
def test_a_level_that_does_not_exist_is_an_error(
    tree: Rest, model: str, level: Any, code: str
) -> None:
    body = {"model": model, "input": "good", "level": level}
    problem = check_problem(tree.call("POST", "/v1/classify", json=body), 422, code)
    assert "level" in str(problem)


def test_rules_are_unknown_where_no_label_can_be_withheld(ruled: Rest) -> None:
    body = {"model": "examples/things", "input": "the book", "min_score": 0.5}
    response = ruled.call("POST", "/v1/token-classification", json=body)
    check_problem(response, 422, "invalid_request")
