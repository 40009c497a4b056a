"""Every mistake on every inference route: 4xx, one clear problem, one shape."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from prefixes.backbone import Backbone
from prefixes.errors import PrefixNotFound, StoreCorrupted, StoreUnavailable
from server.errors import (
    DeadlineExceeded,
    EngineUnavailable,
    InferenceFailed,
    Overloaded,
    ResidencyBudgetExceeded,
)
from tests.factories import make_prefix
from tests.server.conftest import Serve
from tests.server.rest import Rest, put, until

FIELDS = {
    "/v1/classify": "input",
    "/predict": "inputs",
    "/classify": "input",
    "/": "inputs",
    "/embed": "inputs",
    "/v1/token-classification": "input",
    "/v1/question-answering": "input",
    "/v1/multiple-choice": "input",
    "/v1/predict": "input",
    "/v1/embeddings": "input",
}
MODELS = {
    "/v1/token-classification": "examples/things",
    "/v1/question-answering": "examples/facts",
    "/v1/multiple-choice": "examples/causes",
    "/v1/embeddings": "examples/vectors",
    "/embed": "examples/vectors",
}
"""The task for a route that does not classify."""
CLASSIFYING = pytest.mark.parametrize("route", ["/v1/classify", "/predict", "/classify", "/"])
TEXTUAL = pytest.mark.parametrize(
    "route", [route for route in FIELDS if "question" not in route and "choice" not in route]
)
"""Routes whose inputs may be a plain text."""
ROUTES = pytest.mark.parametrize("route", list(FIELDS))
DIALECTS = {"/predict", "/classify", "/", "/embed", "/v1/embeddings"}
"""Routes that ignore members which they do not know, as the servers do that they stand for."""
MEMBERS = {"type", "title", "status", "detail", "code"}
OPTIONAL = {"errors", "findings", "retry_after"}


def body_for(route: str, texts: Any, **more: Any) -> dict[str, Any]:
    return {"model": MODELS.get(route, "examples/mood"), FIELDS[route]: texts, **more}


def many(route: str, count: int) -> list[Any]:
    return [["x"]] * count if route in {"/predict", "/"} else ["x"] * count


def check_problem(response: Any, status: int, code: str) -> dict[str, Any]:
    """Hold an error response to the one shape."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["status"] == status
    assert problem["code"] == code
    assert problem["type"] == f"urn:polyprefix:problem:{code}"
    assert problem["title"]
    assert len(problem["detail"]) > 10
    extensions = set(problem) - MEMBERS - OPTIONAL
    path = response.request.url.path
    if path in {"/", "/predict", "/embed", "/info"} or path.startswith("/models/"):
        assert extensions == {"error", "error_type"}
        assert problem["error"] == problem["detail"]
    elif path.startswith("/v2"):
        assert extensions == {"error"}
        assert problem["error"] == problem["detail"]
    elif path in {"/classify", "/v1/embeddings"} or path.startswith("/v1/models"):
        assert extensions == {"error"}
        assert set(problem["error"]) == {"message", "type", "param", "code"}
    else:
        assert extensions == set()
    if status in {429, 503}:
        assert int(response.headers["retry-after"]) >= 1
    if status == 401:
        assert response.headers["www-authenticate"].startswith("Bearer")
    return problem


@ROUTES
@pytest.mark.parametrize(
    ("model", "code", "status"),
    [
        pytest.param("examples/nothing", "key_required", 401, id="unknown to an anonymous caller"),
        pytest.param("acme/mood", "key_required", 401, id="another tenant's"),
        pytest.param("examples/mood@99", "key_required", 401, id="unknown version"),
        pytest.param("mood", "invalid_name", 422, id="no tenant and no key"),
        pytest.param("examples/Mood!", "invalid_name", 422, id="not a name"),
        pytest.param("examples/\ud800", "invalid_request", 422, id="half a surrogate pair"),
    ],
)
def test_a_model_that_cannot_be_used(
    rest: Rest, route: str, model: str, code: str, status: int
) -> None:
    content = json.dumps(body_for(route, "good") | {"model": model})
    response = rest.call(
        "POST", route, content=content, headers={"Content-Type": "application/json"}
    )
    check_problem(response, status, code)


@ROUTES
def test_a_missing_key_and_tenant_are_reported_together(rest: Rest, route: str) -> None:
    for model, is_hinted in (("mood", True), ("examples/Mood!", False)):
        response = rest.call("POST", route, json=body_for(route, "good") | {"model": model})
        problem = check_problem(response, 422, "invalid_name")
        assert ("send the API key of the tenant" in problem["detail"]) is is_hinted


@ROUTES
def test_an_unknown_model_is_not_found_with_a_key(rest: Rest, route: str) -> None:
    body = body_for(route, "good") | {"model": "acme/nothing"}
    check_problem(rest.call("POST", route, "acme", json=body), 404, "prefix_not_found")


@ROUTES
def test_a_missing_model_is_reported_with_the_fix(rest: Rest, route: str) -> None:
    response = rest.call("POST", route, json={FIELDS[route]: "good"})
    assert "/v1/models" in check_problem(response, 422, "model_required")["detail"]


@ROUTES
@pytest.mark.parametrize(
    "header",
    [
        pytest.param("Bearer pp_000000000000_" + "x" * 43, id="never issued"),
        pytest.param("Bearer nonsense", id="no key"),
        pytest.param("Basic YTpi", id="another scheme"),
        pytest.param("Bearer", id="nothing"),
    ],
)
def test_an_invalid_key_is_rejected_before_the_body_is_read(
    rest: Rest, route: str, header: str
) -> None:
    response = rest.call("POST", route, content=b"{nonsense", headers={"Authorization": header})
    check_problem(response, 401, "invalid_key")


@TEXTUAL
@pytest.mark.parametrize("text", ["", "  \n", "\u200b", "\ufeff", "\0", " \u2060\u00ad"])
def test_an_empty_text(rest: Rest, route: str, text: str) -> None:
    check_problem(rest.call("POST", route, json=body_for(route, text)), 422, "input_rejected")


@TEXTUAL
def test_text_that_is_not_unicode(rest: Rest, route: str) -> None:
    content = json.dumps(body_for(route, "good \ud800"))
    headers = {"Content-Type": "application/json"}
    response = rest.call("POST", route, content=content, headers=headers)
    check_problem(response, 422, "invalid_request")


@TEXTUAL
def test_a_text_that_is_too_long_with_truncation_off(rest: Rest, route: str) -> None:
    body = body_for(route, "good " * 60)
    if route != "/classify":
        body["truncate"] = False
    problem = check_problem(rest.call("POST", route, json=body), 422, "text_too_long")
    assert "at most 16" in problem["detail"]


@ROUTES
@pytest.mark.parametrize(
    "texts", [5, None, True, {"text": 5}, [5.5], [None], [["a", "b", "c"]], [[[]]]]
)
def test_inputs_of_the_wrong_type(rest: Rest, route: str, texts: Any) -> None:
    problem = check_problem(
        rest.call("POST", route, json=body_for(route, texts)), 422, "invalid_request"
    )
    assert problem["errors"]
    assert problem["errors"][0]["field"].startswith("input")


@ROUTES
@pytest.mark.parametrize(
    ("field", "value"), [("model", 5), ("inptu", "x"), ("truncate", "yes"), ("top_k", "3")]
)
def test_a_field_of_the_wrong_type_or_name(
    rest: Rest, route: str, field: str, value: object
) -> None:
    response = rest.call("POST", route, json=body_for(route, "good") | {field: value})
    is_unknown = field in {"inptu", "top_k"} or (field, route) == ("truncate", "/classify")
    if route in DIALECTS and is_unknown:
        assert response.status_code == 200
    else:
        problem = check_problem(response, 422, "invalid_request")
        assert field in [error["field"] for error in problem["errors"]]


@ROUTES
@pytest.mark.parametrize("wrong", [1.5, None, [1.5], {"text": 1}])
def test_only_the_first_of_many_wrong_entries_is_reported(
    rest: Rest, route: str, wrong: object
) -> None:
    response = rest.call("POST", route, json=body_for(route, [wrong] * 2000))
    assert len(check_problem(response, 422, "invalid_request")["errors"]) == 1


@ROUTES
def test_too_many_texts_are_rejected_without_parsing_them(serve: Serve, route: str) -> None:
    rest, _ = serve()
    response = rest.call("POST", route, json=body_for(route, many(route, 10_001)))
    problem = check_problem(response, 422, "invalid_request")
    assert any("at most 10000" in error["message"] for error in problem["errors"])


@ROUTES
def test_many_unknown_fields_are_reported_in_one_sentence(rest: Rest, route: str) -> None:
    flood = {str(number): 1 for number in range(3000)}
    for body in (body_for(route, "good") | flood, body_for(route, flood)):
        response = rest.call("POST", route, json=body)
        assert len(check_problem(response, 422, "invalid_request")["errors"]) <= 2


@ROUTES
def test_an_empty_list(rest: Rest, route: str) -> None:
    check_problem(rest.call("POST", route, json=body_for(route, [])), 422, "input_rejected")


@ROUTES
def test_too_many_inputs(rest: Rest, route: str) -> None:
    response = rest.call("POST", route, json=body_for(route, many(route, 9)))
    assert "at most 8" in check_problem(response, 413, "too_many_inputs")["detail"]


@ROUTES
@pytest.mark.parametrize(
    ("content", "headers", "message"),
    [
        pytest.param(b"{nope", {"Content-Type": "application/json"}, "not valid JSON", id="syntax"),
        pytest.param(b"\xff{}", {"Content-Type": "application/json"}, "", id="not UTF-8"),
        pytest.param(b"[" * 50_000, {"Content-Type": "application/json"}, "", id="deep"),
        pytest.param(b"{}", {}, "Content-Type: application/json", id="no type"),
        pytest.param(b"", {"Content-Type": "application/json"}, "", id="nothing"),
        pytest.param(b"[]", {"Content-Type": "application/json"}, "", id="a list"),
    ],
)
def test_a_body_that_is_not_a_json_object(
    rest: Rest, route: str, content: bytes, headers: dict[str, str], message: str
) -> None:
    response = rest.call("POST", route, content=content, headers=headers)
    assert response.status_code in {400, 422}
    problem = check_problem(response, response.status_code, response.json()["code"])
    assert message in problem["detail"]


@ROUTES
@pytest.mark.parametrize("is_announced", [True, False])
def test_a_body_that_is_too_large(rest: Rest, route: str, is_announced: bool) -> None:  # noqa: FBT001 - pytest
    body = b'{"x": "' + b"y" * 70_000 + b'"}'
    content = (
        body if is_announced else (body[start : start + 1000] for start in range(0, 70_000, 1000))
    )
    headers = {"Content-Type": "application/json"}
    check_problem(rest.call("POST", route, content=content, headers=headers), 413, "body_too_large")


@ROUTES
@pytest.mark.parametrize("timeout", ["0", "-5", "soon", "9" * 400])
def test_a_timeout_that_is_not_positive(rest: Rest, route: str, timeout: str) -> None:
    response = rest.call(
        "POST", route, json=body_for(route, "good"), headers={"X-Timeout-Ms": timeout}
    )
    check_problem(response, 422, "invalid_request")


@ROUTES
def test_a_method_the_route_does_not_have(rest: Rest, route: str) -> None:
    check_problem(rest.call("DELETE", route), 405, "method_not_allowed")


@ROUTES
def test_a_body_that_never_arrives(serve: Serve, route: str) -> None:
    rest, engine = serve(request_timeout_seconds=0.3)
    host, port = rest.url.removeprefix("http://").split(":")
    head = f"POST {route} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{"
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(head.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))  # until the server closes
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "body_too_slow"
    assert engine.num_calls == 0


def test_the_total_of_bodies_in_memory_is_bounded(serve: Serve) -> None:
    rest, engine = serve(max_body_kib=1)
    engine.hold()
    body = body_for("/v1/classify", "good " * 180)

    def send() -> httpx.Response:
        return rest.call("POST", "/v1/classify", json=body)

    with ThreadPoolExecutor(90) as senders:
        jobs = [senders.submit(send) for _ in range(90)]
        until(lambda: engine.num_waiting + sum(job.done() for job in jobs) == 90)
        engine.release()
        answers = [job.result() for job in jobs]
    assert {answer.status_code for answer in answers} == {200, 429}
    refused = next(answer for answer in answers if answer.status_code == 429)
    check_problem(refused, 429, "overloaded")
    assert send().status_code == 200


def test_errors_of_the_store_are_shown_only_in_the_log(serve: Serve) -> None:
    rest, engine = serve()
    for kind, status in ((StoreUnavailable, 503), (StoreCorrupted, 500)):
        engine.failure = kind("Could not read /var/lib/secret/blobs")
        response = rest.call("POST", "/v1/classify", json=body_for("/v1/classify", "good"))
        assert "secret" not in check_problem(response, status, kind.code)["detail"]


def test_a_route_that_does_not_exist(rest: Rest) -> None:
    check_problem(rest.call("GET", "/v2/nothing"), 404, "route_not_found")


def test_an_error_in_a_list_names_its_index(rest: Rest) -> None:
    items: list[Any] = [{"model": "examples/mood", "text": "good"}] * 2
    for wrong, status, code in (
        ({"model": "examples/mood", "text": ""}, 422, "input_rejected"),
        ({"model": "examples/mood", "txt": "good"}, 422, "input_rejected"),
        ({"model": "Examples/mood", "text": "good"}, 422, "invalid_name"),
        ({"text": "good"}, 422, "model_required"),
    ):
        response = rest.call("POST", "/v1/classify", json={"input": [*items, wrong]})
        assert "[2]" in check_problem(response, status, code)["detail"]


@CLASSIFYING
def test_too_many_scores_for_one_response(serve: Serve, backbone: Backbone, route: str) -> None:
    rest, _ = serve()
    labels = tuple(f"label {number}" for number in range(9000))
    put(rest.registry, "acme/wide", make_prefix(backbone.fingerprint, labels=labels))
    few, lot = ({**body_for(route, many(route, n)), "model": "wide"} for n in (4, 5))
    assert rest.call("POST", route, "acme", json=few).status_code == 200
    refused = rest.call("POST", route, "acme", json=lot)
    assert "top_k" in check_problem(refused, 422, "too_many_scores")["detail"]
    if route == "/v1/classify":
        assert rest.call("POST", route, "acme", json=lot | {"top_k": 3}).status_code == 200


@ROUTES
def test_a_bad_request_never_reaches_the_engine(serve: Serve, route: str) -> None:
    rest, engine = serve(max_inputs_per_request=2)
    for body in (
        {},
        body_for(route, []),
        body_for(route, 5),
        body_for(route, many(route, 3)),
        body_for(route, "x") | {"model": "no name"},
        {FIELDS[route]: "x"},
    ):
        assert 400 <= rest.call("POST", route, json=body).status_code < 500
    assert engine.num_calls == 0


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (Overloaded("Full: come back later", retry_after_seconds=7), 429, "overloaded"),
        (DeadlineExceeded("The time ran out"), 504, "deadline_exceeded"),
        (EngineUnavailable("The device failed"), 503, "engine_unavailable"),
        (InferenceFailed("The forward pass failed"), 500, "inference_failed"),
        (ResidencyBudgetExceeded("The prefix is too large"), 507, "residency_budget_exceeded"),
        (RuntimeError("the secret of the house"), 500, "internal_error"),
        (PrefixNotFound("gone meanwhile"), 404, "prefix_not_found"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_internal_failures_have_the_shape_of_every_error(
    serve: Serve, failure: Exception, status: int, code: str
) -> None:
    rest, engine = serve()
    engine.failure = failure
    for route in FIELDS:
        response = rest.call("POST", route, "acme", json=body_for(route, "good"))
        problem = check_problem(response, status, code)
        assert "secret" not in response.text
        if isinstance(failure, Overloaded):
            assert problem["retry_after"] == 7
            assert response.headers["retry-after"] == "7"


def test_an_invalid_request_does_not_affect_others(rest: Rest) -> None:
    with rest.client() as client:
        for _ in range(3):
            bad = client.post("/predict", json=body_for("/predict", ""))
            good = client.post("/predict", json=body_for("/predict", "good"))
            assert (bad.status_code, good.status_code) == (422, 200)
