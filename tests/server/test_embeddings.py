import base64
from typing import Any

import numpy as np
import pytest

from prefixes.backbone import Backbone
from tests.server.rest import Rest
from tests.server.test_bad_requests import check_problem
from tests.server.test_tasks import alone

ROUTE = "/v1/embeddings"


def embed(rest: Rest, texts: str | list[str], **body: Any) -> dict[str, Any]:
    response = rest.call("POST", ROUTE, json={"model": "examples/vectors", "input": texts, **body})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_every_text_gets_the_vector_that_it_has_alone(rest: Rest, backbone: Backbone) -> None:
    texts = ["hello city", "the river is free"]
    answer = embed(rest, texts)
    assert answer["object"] == "list"
    assert answer["model"] == "examples/vectors@1"
    assert answer["usage"] == {"prompt_tokens": 10, "total_tokens": 10}
    assert [(item["object"], item["index"]) for item in answer["data"]] == [
        ("embedding", 0),
        ("embedding", 1),
    ]
    for text, item in zip(texts, answer["data"], strict=True):
        _, _, (expected,) = alone(rest, backbone, "examples/vectors", {"text": text})
        assert item["embedding"] == pytest.approx(expected.tolist(), abs=1e-5)
        assert np.linalg.norm(item["embedding"]) == pytest.approx(1, abs=1e-5)


def test_a_single_text_is_a_list_of_one(rest: Rest) -> None:
    assert len(embed(rest, "hello", user="somebody")["data"]) == 1


def test_base64_holds_the_same_numbers_as_little_endian_float32(rest: Rest) -> None:
    plain = embed(rest, "hello city")["data"][0]["embedding"]
    packed = embed(rest, "hello city", encoding_format="base64")["data"][0]["embedding"]
    numbers = np.frombuffer(base64.b64decode(packed), dtype="<f4")
    assert numbers.tolist() == pytest.approx(plain, abs=1e-6)


def test_a_text_that_is_too_long_is_cut_only_when_asked(rest: Rest) -> None:
    body = {"model": "examples/vectors", "input": "hello " * 50}
    problem = check_problem(rest.call("POST", ROUTE, json=body), 422, "text_too_long")
    assert problem["error"]["message"] == problem["detail"]
    assert problem["error"]["type"] == "invalid_request_error"
    assert embed(rest, "hello " * 50, truncate=True)["usage"]["total_tokens"] == 16


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("dimensions", 8, id="part of an embedding"),
        pytest.param("input", [1, 2, 3], id="tokens"),
        pytest.param("input", [[1, 2], [3]], id="lists of tokens"),
        pytest.param("encoding_format", "int8", id="unknown encoding"),
        pytest.param("input_type", "query", id="another server's field"),
    ],
)
def test_what_would_be_answered_differently_is_refused(
    rest: Rest, field: str, value: object
) -> None:
    body = {"model": "examples/vectors", "input": "hello"} | {field: value}
    problem = check_problem(rest.call("POST", ROUTE, json=body), 422, "invalid_request")
    assert problem["errors"][0]["field"].startswith(field)
