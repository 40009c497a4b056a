"""Requests of monitors, browsers and proxies: HEAD, other origins, compressed responses."""

import gzip
from typing import Any

import httpx
import pytest

from server.settings import Settings
from tests.server.conftest import Serve
from tests.server.rest import Rest
from tests.server.test_bad_requests import check_problem

BODY = {"model": "examples/mood", "input": "good"}
ORIGIN = "https://app.example.org"


def get_paths(rest: Rest) -> list[str]:
    """Every path with GET, of prefixes that are there."""
    paths = rest.call("GET", "/openapi.json").json()["paths"]
    values = {"tenant": "acme", "task": "mood", "version": "1", "alias": "live", "model": "mood"}
    values["training"] = values["webhook"] = values["batch"] = "none"
    values["key_id"] = rest.keys["acme"].split("_")[1]
    return [
        "/docs",
        "/openapi.json",
        *(path.format(**values) for path in paths if "get" in paths[path]),
    ]


def test_head_is_get_without_the_body_everywhere(rest: Rest) -> None:
    paths = get_paths(rest)
    assert "/v1/tenants/acme/prefixes/mood/versions/1/file" in paths
    with rest.client("acme") as client:
        for path in paths:
            head, get = client.head(path), client.get(path)
            assert (head.status_code, head.content) == (get.status_code, b""), path
            for name in ("content-length", "content-type", "etag"):
                # Metrics count the request between.
                if (path, name) != ("/metrics", "content-length"):
                    assert head.headers.get(name) == get.headers.get(name), (path, name)
        assert client.get("/livez").status_code == 200  # the connection is still good


def test_head_where_there_is_no_get_says_what_there_is(rest: Rest) -> None:
    response = rest.call("HEAD", "/v1/classify")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert rest.call("HEAD", "/no/such/route").status_code == 404
    assert rest.call("HEAD", "/v1/tenants/acme/prefixes/mood").status_code == 401


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/v1/tenants/acme", "GET, PATCH, DELETE"),
        ("/v1/tenants/acme/prefixes/mood/public", "PUT, DELETE"),
        ("/", "GET, POST"),
        ("/livez", "GET"),
    ],
)
def test_a_method_that_a_path_lacks_is_answered_with_all_that_it_has(
    rest: Rest, path: str, methods: str
) -> None:
    response = rest.call("OPTIONS", path)
    assert (response.status_code, response.headers["allow"]) == (405, methods)


def test_head_is_counted_under_its_route(serve: Serve) -> None:
    rest, _ = serve()
    rest.call("HEAD", "/livez")
    assert 'polyprefix_requests_total{route="/livez",status="200"} 1.0' in (
        rest.call("GET", "/metrics").text
    )


def test_head_of_an_event_stream_ends(rest: Rest) -> None:
    rows = b"text,label\ngood,yes\nbad,no\n"
    form: dict[str, Any] = {"files": {"file": ("r.csv", rows)}, "data": {"task": "t"}}
    links = rest.call("POST", "/v1/tenants/zoo/trainings", "zoo", **form).json()["links"]
    response = rest.call("HEAD", links["events"], "zoo")  # it is queued: GET would go on
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-type"].startswith("text/event-stream")
    rest.call("POST", links["cancel"], "zoo")


def test_the_openapi_document_knows_no_head(rest: Rest) -> None:
    paths = rest.call("GET", "/openapi.json").json()["paths"]
    assert not any("head" in methods for methods in paths.values())


@pytest.mark.parametrize("path", ["/health", "/ping"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_other_names_of_livez(rest: Rest, path: str, method: str) -> None:
    response, livez = rest.call(method, path), rest.call(method, "/livez")
    assert (response.status_code, response.content) == (livez.status_code, livez.content)


def preflight(rest: Rest, origin: str, method: str = "POST") -> httpx.Response:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization, content-type, x-stainless-lang",
    }
    return rest.call("OPTIONS", "/v1/classify", headers=asked)


def test_other_origins_are_not_allowed_by_default(rest: Rest) -> None:
    assert "access-control-allow-origin" not in preflight(rest, ORIGIN).headers
    response = rest.call("POST", "/v1/classify", json=BODY, headers={"Origin": ORIGIN})
    assert "access-control-allow-origin" not in response.headers


def test_origins_on_the_list_may_call(serve: Serve) -> None:
    rest, _ = serve(cors_origins=f"{ORIGIN}, http://localhost:3000")
    for origin in (ORIGIN, "http://localhost:3000"):
        response = preflight(rest, origin)
        assert response.status_code == 200
        assert response.headers["access-control-allow-origin"] == origin
        assert "x-stainless-lang" in response.headers["access-control-allow-headers"]
    for method, path, status in (
        ("POST", "/v1/classify", 200),
        ("GET", "/no/such/route", 404),
        ("GET", "/v1/tenants/acme/prefixes/mood", 401),
    ):
        body: dict[str, Any] = {"json": BODY} if method == "POST" else {}
        response = rest.call(method, path, headers={"Origin": ORIGIN}, **body)
        assert response.status_code == status
        assert response.headers["access-control-allow-origin"] == ORIGIN
        assert "X-Request-Id" in response.headers["access-control-expose-headers"]
    assert "access-control-allow-origin" not in preflight(rest, "https://evil.example").headers


def test_all_origins(serve: Serve) -> None:
    rest, _ = serve(cors_origins="*")
    response = preflight(rest, "https://anywhere.example", "DELETE")
    assert (response.status_code, response.headers["access-control-allow-origin"]) == (200, "*")


@pytest.mark.parametrize("origins", ["example.org", "https://example.org/", "https://a, b"])
def test_an_invalid_origin_is_rejected_at_startup(origins: str) -> None:
    with pytest.raises(ValueError, match="not a valid origin"):
        Settings(cors_origins=origins)


def raw(
    rest: Rest, method: str, path: str, accept: str, **how: Any
) -> tuple[httpx.Response, bytes]:
    """The answer with its body as it was sent."""
    with (
        rest.client("acme") as client,
        client.stream(method, path, headers={"Accept-Encoding": accept}, **how) as response,
    ):
        return response, b"".join(response.iter_raw())


def test_large_answers_are_packed_when_asked_for(rest: Rest) -> None:
    plain = rest.call("GET", "/openapi.json", headers={"Accept-Encoding": "identity"})
    for accept in ("gzip", "br, GZIP;q=0.5", "gzip, deflate"):
        response, body = raw(rest, "GET", "/openapi.json", accept)
        assert response.headers["content-encoding"] == "gzip"
        assert response.headers["vary"] == "Accept-Encoding"
        assert int(response.headers["content-length"]) == len(body) < len(plain.content) / 2
        assert gzip.decompress(body) == plain.content


@pytest.mark.parametrize("accept", ["identity", "br", "gzip;q=0", "gzip; q=0.0, br", "xgzip"])
def test_answers_are_not_packed_unasked(rest: Rest, accept: str) -> None:
    response, _ = raw(rest, "GET", "/openapi.json", accept)
    assert "content-encoding" not in response.headers


def test_small_answers_and_prefix_files_are_sent_as_they_are(rest: Rest) -> None:
    for method, path, how in (
        ("POST", "/v1/classify", {"json": BODY}),
        ("GET", "/v1/tenants/acme/prefixes/mood/versions/1/file", {}),
    ):
        response, body = raw(rest, method, path, "gzip", **how)
        assert response.status_code == 200
        assert "content-encoding" not in response.headers
        assert int(response.headers["content-length"]) == len(body)


def test_metrics_ask_for_the_key_where_there_is_one(serve: Serve) -> None:
    rest, _ = serve(metrics_key="s3cret")
    check_problem(rest.call("GET", "/metrics"), 401, "key_required")
    for wrong in ("Bearer s3cre", "Basic s3cret", f"Bearer {rest.keys['acme']}"):
        response = rest.call("GET", "/metrics", headers={"Authorization": wrong})
        check_problem(response, 401, "invalid_key")
        assert "s3cret" not in response.text
    for right in ("Bearer s3cret", "bearer s3cret", "BEARER s3cret"):
        response = rest.call("GET", "/metrics", headers={"Authorization": right})
        assert "polyprefix_requests_total" in response.text
    assert "s3cret" not in repr(Settings(metrics_key="s3cret"))
