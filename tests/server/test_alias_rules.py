"""Rules of aliases over HTTP."""

from typing import Any, Final

import pytest

from prefixes.backbone import Backbone
from prefixes.spec import Decisions
from tests.factories import make_prefix
from tests.server.conftest import Serve
from tests.server.management import manage
from tests.server.rest import Rest, put
from tests.server.test_bad_requests import check_problem

ALIAS: Final = "/tenants/acme/prefixes/mood/aliases/live"
RULES: Final = f"{ALIAS}/rules"
TOP: Final = {"bad": 0.26894, "good": 0.73106}
"""The fake engine has the logits 0 and 1."""


@pytest.fixture
def rest(serve: Serve, backbone: Backbone) -> Rest:
    """A server where `live` of acme/mood points to version 1 of two; the second abstains."""
    rest, _ = serve()
    decisions = Decisions(min_score=0.99)
    put(rest.registry, "acme/mood", make_prefix(backbone.fingerprint, decisions=decisions))
    manage(rest, "PUT", ALIAS, "acme", json={"version": 1})
    return rest


def send(rest: Rest, method: str, headers: dict[str, str] | None = None, **body: Any) -> Any:
    return rest.call(method, f"/v1{RULES}", "acme", json=body or None, headers=headers or {})


def answer(rest: Rest, model: str = "acme/mood", **body: Any) -> dict[str, Any]:
    body = {"model": model, "input": "good", **body}
    response = rest.call("POST", "/v1/classify", "acme", json=body)
    assert response.status_code == 200, response.text
    (result,) = response.json()["results"]
    found: dict[str, Any] = result
    return found


def test_rules_apply_to_the_next_request_and_to_nobody_else(rest: Rest) -> None:
    assert "abstained" not in answer(rest)
    shown = send(rest, "PUT", min_score=0.8)
    unset = dict.fromkeys(("thresholds", "abstain", "long_text", "stride", "merge"))
    expected = {"version": 1, "min_score": 0.8, **unset}
    assert shown.json() == expected
    assert send(rest, "GET").json() == expected
    assert answer(rest)["reason"] == "min_score"
    assert "abstained" not in answer(rest, "acme/mood@1")
    assert send(rest, "DELETE").status_code == 204
    assert "abstained" not in answer(rest)
    check_problem(send(rest, "GET"), 404, "rules_not_found")


def test_a_request_overrides_the_alias_and_the_alias_the_file(rest: Rest) -> None:
    manage(rest, "PUT", ALIAS, "acme", json={"version": 2})
    assert answer(rest)["reason"] == "min_score"
    send(rest, "PUT", abstain=False)
    assert answer(rest)["label"] == "good"
    assert answer(rest, abstain=True)["reason"] == "min_score"
    send(rest, "PUT", thresholds={"good": 0.8}, min_score=0.2)
    assert answer(rest)["label"] == "bad"
    assert answer(rest, thresholds={"good": 0.7})["label"] == "good"


def test_rules_move_with_promotion_and_rollback(rest: Rest) -> None:
    send(rest, "PUT", min_score=0.8)
    manage(rest, "PUT", ALIAS, "acme", json={"version": 2})
    check_problem(send(rest, "GET"), 404, "rules_not_found")
    assert answer(rest, min_score=0.5)["label"] == "good"
    manage(rest, "POST", f"{ALIAS}/rollback", "acme")
    assert send(rest, "GET").json()["min_score"] == 0.8
    history = manage(rest, "GET", "/tenants/acme/prefixes/mood", "acme")["aliases"][0]["history"]
    kinds = [move["kind"] for move in history]
    assert kinds[-3:] == ["rules", "promote", "rollback"]


def test_changes_can_be_conditional(rest: Rest) -> None:
    none = {"If-None-Match": "*"}
    first = send(rest, "PUT", none, min_score=0.8)
    check_problem(send(rest, "PUT", none, min_score=0.1), 412, "rules_changed")
    seen = {"If-Match": first.headers["etag"]}
    second = send(rest, "PUT", seen, min_score=0.7)
    assert second.headers["etag"] == send(rest, "GET").headers["etag"] != first.headers["etag"]
    for method, body in (("PUT", {"min_score": 0.1}), ("DELETE", {})):
        check_problem(send(rest, method, seen, **body), 412, "rules_changed")
    check_problem(send(rest, "DELETE", {"If-Match": "old"}), 400, "bad_precondition")
    assert send(rest, "DELETE", {"If-Match": second.headers["etag"]}).status_code == 204


@pytest.mark.parametrize(
    ("body", "code", "named"),
    [
        ({"unknown": 1}, "invalid_request", "unknown"),
        ({"min_score": None}, "invalid_request", "no rule is set"),
        ({"min_score": 2}, "invalid_request", "min_score"),
        ({"abstain": False, "min_score": 0.5}, "invalid_request", "min_score"),
        ({"thresholds": {"nonsense": 0.5}}, "unknown_label", "nonsense"),
    ],
)
def test_every_misuse_gets_one_clear_error(
    rest: Rest, body: dict[str, Any], code: str, named: str
) -> None:
    problem = check_problem(send(rest, "PUT", **body), 422, code)
    assert named in str(problem)


def test_tasks_without_labels_of_texts_have_no_rules(rest: Rest) -> None:
    for task, kind in (("things", "token_classification"), ("rating", "regression")):
        path = f"/v1/tenants/examples/prefixes/{task}/aliases/live/rules"
        response = rest.call("PUT", path, "operator", json={"min_score": 0.5})
        assert kind in check_problem(response, 422, "invalid_rules")["detail"]
