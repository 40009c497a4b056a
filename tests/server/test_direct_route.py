"""A plain request takes a shorter way to its handler; it must lead to the same place."""

from typing import Any, Final

import httpx
import pytest

from tests.server.rest import Rest

MODEL: Final = b'"model":"examples/mood"'
BODIES: Final[dict[str, bytes]] = {
    "a text": b'{%b,"input":"a good film"}' % MODEL,
    "a list": b'{%b,"input":["a good film",{"text":"poor"}],"top_k":1}' % MODEL,
    "text for a number": b'{%b,"input":"a","top_k":"2"}' % MODEL,
    "a float for a number": b'{%b,"input":"a","top_k":2.0}' % MODEL,
    "text for a flag": b'{%b,"input":"a","truncate":"no"}' % MODEL,
    "a name twice": b'{%b,"input":"a","input":"b","top_k":0,"top_k":1}' % MODEL,
    "an unknown name": b'{%b,"input":"a","tpo_k":1}' % MODEL,
    "a value out of range": b'{%b,"input":"a","top_k":0}' % MODEL,
    "no number": b'{%b,"input":"a","top_k":NaN}' % MODEL,
    "a huge number": b'{%b,"input":"a","top_k":%b}' % (MODEL, b"9" * 400),
    "half a surrogate pair": b'{%b,"input":"\\ud800"}' % MODEL,
    "invalid UTF-8": b'{%b,"input":"\xff"}' % MODEL,
    "UTF-16": ('{"model":"examples/mood","input":"a"}').encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{%b,"input":"a"}' % MODEL,
    "deep nesting": b'{%b,"input":%b1%b}' % (MODEL, b"[" * 3000, b"]" * 3000),
    "something behind it": b'{%b,"input":"a"} {}' % MODEL,
    "no object": b'["a"]',
    "nothing": b"",
    "no model": b'{"input":"a"}',
    "a model of another tenant": b'{"model":"zoo/secret","input":"a"}',
    "a task of another type": b'{"model":"examples/things","input":"a"}',
}


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "text/xml"]
)
@pytest.mark.parametrize("name", BODIES)
def test_a_direct_request_gets_the_same_response_as_one_through_fastapi(
    rest: Rest, name: str, kind: str
) -> None:
    headers = {"Content-Type": kind}
    plain = rest.call("POST", "/v1/classify", "acme", content=BODIES[name], headers=headers)
    headers["X-Timeout-Ms"] = "29000"  # such a request is not plain
    usual = rest.call("POST", "/v1/classify", "acme", content=BODIES[name], headers=headers)
    assert plain.status_code == usual.status_code
    assert stable_part(plain) == stable_part(usual)


def stable_part(response: httpx.Response) -> dict[str, Any]:
    """The body of a response without the members that differ each time."""
    body: dict[str, Any] = response.json()
    return {name: value for name, value in body.items() if name not in {"timings_ms", "request_id"}}


def test_embeddings_use_the_direct_route(rest: Rest) -> None:
    body = {"model": "examples/vectors", "input": ["a", "b"]}
    plain = rest.call("POST", "/v1/embeddings", json=body)
    usual = rest.call("POST", "/v1/embeddings", json=body, headers={"X-Timeout-Ms": "29000"})
    assert plain.status_code == 200
    assert stable_part(plain) == stable_part(usual)
