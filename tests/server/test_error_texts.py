"""No error shows Python: every member of every route is sent with every wrong type."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.server.rest import Rest
from tests.server.test_bad_requests import check_problem

INTERNALS = (
    "<function",
    "functools",
    "function-",
    "0x",
    "instance of",
    "Input should",
    "Value error",
    "discriminator",
    "tagged-union",
    "dict[",
    "list[",
    "(text)",
    "(list",
    "(ids)",
    "(fields)",
    "NoneType",
    "pydantic",
    "Traceback",
    "class '",
)
WRONG: tuple[Any, ...] = (
    5,
    -1.5,
    "x y",
    True,
    None,
    [],
    {},
    [None],
    [[]],
    [{}],
    [5, "x"],
    [[5], "x"],
    [["a", "b", "c"]],
    {"text": 5},
    {"choices": [5]},
)
VALUES = {
    "tenant": "acme",
    "task": "mood",
    "version": "1",
    "alias": "live",
    "training": "none",
    "batch": "none",
    "model": "mood",
    "key_id": "none",
    "webhook": "none",
    "request_id": "none",
    "reader": "zoo",
}


def operations(rest: Rest) -> Iterator[tuple[str, str, dict[str, Any], dict[str, Any]]]:
    """Every method of every path, its description, and all schemas."""
    document = rest.call("GET", "/openapi.json").json()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation, document["components"]["schemas"]


def json_members(operation: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return {}
    schema = content["schema"]
    reference = schema.get("anyOf", [schema])[0]["$ref"]  # the body of `rotate` may be missing
    members: dict[str, Any] = schemas[reference.rsplit("/", 1)[1]]["properties"]
    return members


def check_text(response: httpx.Response, sent: object) -> None:
    assert response.status_code < 500, (sent, response.text)
    if response.status_code >= 400:
        check_problem(response, response.status_code, response.json()["code"])
        shown = [part for part in INTERNALS if part in response.text]
        assert not shown, (sent, response.text)


def test_errors_of_wrong_types_show_no_internals(rest: Rest) -> None:
    num_sent = 0
    with rest.client("acme") as client:
        for method, path, operation, schemas in operations(rest):
            members = json_members(operation, schemas)
            url = path.format(**VALUES)
            base = {"model": "examples/mood", "input": "good", "inputs": "good"}
            good = {name: base[name] for name in members if name in base}
            bodies = [{**good, name: wrong} for name in members for wrong in WRONG]
            bodies += list(WRONG) if members else []
            for body in bodies:
                check_text(client.request(method, url, json=body), (method, url, body))
                num_sent += 1
    assert num_sent > 500


def test_errors_of_wrong_parameters_show_no_internals(rest: Rest) -> None:
    names = set()
    with rest.client("operator") as client:
        for method, path, operation, _ in operations(rest):
            for parameter in operation.get("parameters", []):
                names.add(parameter["name"])
                for wrong in ("x y", "-1", "1.0", "[]", "9" * 400, "\u00e9", "A!"):
                    values = dict(VALUES)
                    how: dict[str, Any] = {}
                    if parameter["in"] == "path":
                        values[parameter["name"]] = wrong
                    elif parameter["in"] == "query":
                        how = {"params": {parameter["name"]: wrong}}
                    else:
                        how = {"headers": {parameter["name"]: wrong.encode()}}
                    url = path.format(**values)
                    check_text(client.request(method, url, **how), (method, url, how))
    assert names >= {"tenant", "task", "version", "alias", "model", "x-timeout-ms"}


@pytest.mark.parametrize(
    ("route", "body", "field", "message"),
    [
        ("/v1/embeddings", {"input": 5}, "input", "expected a text, a list of texts"),
        ("/classify", {"input": {"a": 1}}, "input", "expected a text, a list of texts"),
        ("/v1/classify", [], "body", "expected an object; found a list"),
        ("/v1/classify", {"input": ["a", {"text": 5}]}, "input[1].text", "expected a text"),
        ("/v1/classify", {"input": "a", "top_k": 0}, "top_k", "must be greater than"),
        ("/v1/classify", {"input": "a", "top_k": "3"}, "top_k", 'whole number; found "3"'),
        ("/v1/classify", {}, "input", "is missing"),
        ("/v1/classify", {"input": "a", "inptu": 1}, "inptu", "is not a member"),
        ("/predict", {"inputs": "a", "parameters": {"top_k": "x"}}, "parameters.top_k", "expected"),
        ("/embed", {"inputs": "a", "prompt_name": "query"}, "prompt_name", "not supported"),
    ],
)
def test_an_error_names_the_place_and_what_was_expected(
    rest: Rest, route: str, body: object, field: str, message: str
) -> None:
    problem = check_problem(rest.call("POST", route, json=body), 422, "invalid_request")
    found = {error["field"]: error["message"] for error in problem["errors"]}
    assert message in found[field]


@pytest.mark.parametrize("version", ["1.0", "+1", "01", "1_0", "0", "-1", "\u0661", " 1", "1e0"])
def test_other_spellings_of_a_number_are_not_versions(rest: Rest, version: str) -> None:
    ref = f"examples/mood@{version}"
    with rest.client("acme") as client:
        for how in (
            ("POST", "/v1/classify", {"json": {"model": ref, "input": "good"}}),
            ("POST", f"/models/{ref}", {"json": {"inputs": "good"}}),
            ("GET", f"/v1/models/{ref}", {}),
            ("GET", "/info", {"params": {"model": ref}}),
        ):
            method, url, more = how
            response = client.request(method, url, **more)  # type: ignore[arg-type]
            problem = check_problem(response, 422, "invalid_name")
            assert "is not a version number" in problem["detail"]
        for end in ("", "/file"):
            url = f"/v1/tenants/acme/prefixes/mood/versions/{version}{end}"
            problem = check_problem(client.get(url), 422, "invalid_request")
            assert problem["errors"][0]["field"] == "version"
        url = "/v1/tenants/acme/prefixes/mood/aliases/live"
        bare = version.strip()
        in_json = [f'"{version}"', *([] if bare == "1" else [bare])]
        for content in (f'{{"version": {text}}}' for text in in_json):
            headers = {"Content-Type": "application/json"}
            check_problem(
                client.put(url, content=content.encode(), headers=headers), 422, "invalid_request"
            )


@pytest.mark.parametrize(
    ("value", "status", "code"),
    [
        ("bytes=x-y", 400, "malformed_request"),
        ("lines=0-5", 400, "malformed_request"),
        ("bytes=", 400, "malformed_request"),
        ("bytes=9-5", 400, "malformed_request"),
        ("bytes=999999999-", 416, "range_not_satisfiable"),
    ],
)
def test_an_invalid_range_is_a_problem(rest: Rest, value: str, status: int, code: str) -> None:
    url = "/v1/tenants/acme/prefixes/mood/versions/1/file"
    whole = rest.call("GET", url, "acme")
    response = rest.call("GET", url, "acme", headers={"Range": value})
    check_problem(response, status, code)
    if status == 416:
        assert response.headers["content-range"] == f"bytes */{len(whole.content)}"
    part = rest.call("GET", url, "acme", headers={"Range": "bytes=0-9"})
    assert (part.status_code, part.content) == (206, whole.content[:10])


@pytest.mark.parametrize(
    "value",
    [
        "bytes=" + ",".join(f"{place}-{place}" for place in range(0, 8000, 2)),
        "bytes=" + "0-," * 10_000,
        f"bytes=0-0,{'9' * 5000}-",
    ],
)
def test_a_hostile_range_costs_no_more_than_the_file(rest: Rest, value: str) -> None:
    url = "/v1/tenants/acme/prefixes/mood/versions/1/file"
    whole = rest.call("GET", url, "acme").content
    response = rest.call("GET", url, "acme", headers={"Range": value})
    assert response.status_code in {200, 206}
    assert len(response.content) <= len(whole)


def test_a_trailing_slash_is_a_problem(rest: Rest) -> None:
    for url in ("/v1/classify/", "/predict/", "/v1/tenants/acme/prefixes/", "/embed/", "/livez/"):
        for method in ("GET", "POST"):
            check_problem(rest.call(method, url), 404, "route_not_found")


def test_routes_with_a_body_document_status_400(rest: Rest) -> None:
    with rest.client("operator") as client:
        for method, path, operation, _ in operations(rest):
            if path == "/v1/batches":  # operators cannot add one, whatever the body is
                continue
            for kind in operation.get("requestBody", {}).get("content", {}):
                content = b"[" * 30_000 if kind == "application/json" else b"no boundary"
                headers = {"Content-Type": f"{kind}; boundary=x"}
                url = path.format(**VALUES)
                response = client.request(method, url, content=content, headers=headers)
                assert response.status_code in {400, 422}, (method, path)
                assert str(response.status_code) in operation["responses"], (method, path)
                check_problem(response, response.status_code, response.json()["code"])


def test_a_problem_may_have_the_members_of_a_dialect(rest: Rest) -> None:
    for _, path, operation, schemas in operations(rest):
        for status, response in operation["responses"].items():
            schema = response.get("content", {}).get("application/problem+json", {}).get("schema")
            if schema is not None:
                schema = schemas.get(schema.get("$ref", "").rsplit("/", 1)[-1], schema)
                assert schema.get("additionalProperties", True) is True, (path, status)
