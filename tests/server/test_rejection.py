"""Rejection rules of files: on every route, in mixed requests, with front ends, and in uploads."""

import pytest

from prefixes import Prefix
from prefixes.backbone import Backbone
from prefixes.spec import Decisions
from tests.factories import make_prefix, with_rejection
from tests.server.rest import Rest, put
from tests.server.test_bad_requests import check_problem
from tests.server.test_decisions import ask

PICKY = "examples/picky"
EASY = "examples/easy"
PLAIN = "examples/mood"


@pytest.fixture(scope="module")
def ruled(rest: Rest, backbone: Backbone) -> Rest:
    """A server with a task that rejects every text, and one that rejects none."""
    put(rest.registry, PICKY, with_rejection(make_prefix(backbone.fingerprint, seed=4), cutoff=1e6))
    put(rest.registry, EASY, with_rejection(make_prefix(backbone.fingerprint, seed=5), cutoff=-1e6))
    return rest


@pytest.mark.parametrize("route", ["/v1/classify", "/v1/predict"])
def test_a_rejected_text_has_no_label_but_its_scores_and_the_reason(
    ruled: Rest, route: str
) -> None:
    (plain,) = ask(ruled, route, model=PICKY, input="a good film", abstain=False)
    (result,) = ask(ruled, route, model=PICKY, input="a good film")
    assert result["label"] is None
    assert result["abstained"] is True
    assert result["reason"] == "out_of_scope"
    assert result["rejection"]["cutoff"] == 1e6
    assert -1e3 < result["rejection"]["score"] < 1e3
    assert plain["label"] == plain["scores"][0]["label"]
    assert plain["abstained"] is False
    assert "rejection" not in plain
    assert result["scores"] == plain["scores"]


def test_a_kept_text_has_its_label_and_the_score(ruled: Rest) -> None:
    (result,) = ask(ruled, model=EASY, input="a good film")
    assert result["label"] == result["scores"][0]["label"]
    assert result["abstained"] is False
    assert result["rejection"]["score"] > result["rejection"]["cutoff"] == -1e6


def test_other_rules_follow_for_texts_that_are_kept(ruled: Rest) -> None:
    (kept,) = ask(ruled, model=EASY, input="a good film", min_score=1)
    (rejected,) = ask(ruled, model=PICKY, input="a good film", min_score=1)
    assert kept["reason"] == "min_score"
    assert "score" in kept["rejection"]
    assert rejected["reason"] == "out_of_scope"


def test_a_mixed_request_gives_each_input_what_it_gets_alone(ruled: Rest) -> None:
    items = [
        {"model": EASY, "text": "a very good film and a great plot"},
        {"model": PLAIN, "text": "poor"},
        {"model": PICKY, "text": "the late train"},
        {"model": "examples/topics", "text": "the late train"},
        {"model": "examples/things", "text": "the book was lost"},
        {"model": EASY, "text": "my card"},
    ]
    together = ask(ruled, "/v1/predict", input=items)
    for item, result in zip(items, together, strict=True):
        (alone,) = ask(ruled, "/v1/predict", input=item)
        assert set(alone) == set(result)
        for member in ("label", "labels", "abstained", "reason", "entities"):
            if member != "entities":
                assert alone.get(member) == result.get(member)
        if "rejection" in alone:
            expected = pytest.approx(alone["rejection"]["score"], abs=1e-5, rel=1e-5)
            assert result["rejection"]["score"] == expected


def test_the_label_is_null_for_clients_of_vllm(ruled: Rest) -> None:
    answered = ruled.call("POST", "/classify", json={"model": EASY, "input": "a good film"})
    rejected = ruled.call("POST", "/classify", json={"model": PICKY, "input": "a good film"})
    assert answered.json()["data"][0]["label"] is not None
    assert rejected.json()["data"][0]["label"] is None
    assert len(rejected.json()["data"][0]["probs"]) == 2


def test_a_rule_that_does_not_fit_is_rejected_when_it_is_uploaded(
    rest: Rest, backbone: Backbone
) -> None:
    sound = with_rejection(make_prefix(backbone.fingerprint, seed=71))
    rule = sound.spec.rejection
    assert rule is not None
    assert rule.projection is not None
    short = rule.projection.model_copy(update={"shape": (1, 5), "data": rule.projection.data[:16]})
    broken = rule.model_copy(update={"projection": short})
    spec = sound.spec.model_copy(update={"decisions": Decisions(rejection=broken)})
    data = Prefix(spec, sound.tensors).to_bytes()
    response = rest.upload("acme/unfit", data, by="acme")
    problem = check_problem(response, 422, "prefix_rejected")
    assert "projection" in str(problem["findings"])
    assert rest.upload("acme/fit", sound.to_bytes(), by="acme").status_code == 201


def test_a_rule_of_an_alias_that_never_abstains_ignores_the_rejection_rule(ruled: Rest) -> None:
    path = "/v1/tenants/examples/prefixes/picky/aliases/live/rules"
    response = ruled.call("PUT", path, "operator", json={"abstain": False})
    assert response.status_code == 200, response.text
    (answered,) = ask(ruled, model=PICKY, input="a good film")
    (rejected,) = ask(ruled, model=PICKY, input="a good film", abstain=True)
    assert answered["label"] is not None
    assert rejected["reason"] == "out_of_scope"
    ruled.call("DELETE", path, "operator")
