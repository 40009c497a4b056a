import base64
from typing import Any

import numpy as np
import pytest

from prefixes import InputTemplate
from prefixes.backbone import Backbone
from tests.factories import ids_of, make_prefix
from tests.server.rest import Rest, put
from tests.server.test_bad_requests import check_problem
from tests.server.test_tasks import alone

ROUTE = "/v1/embeddings"


def embed(rest: Rest, texts: str | list[str], **body: Any) -> dict[str, Any]:
    response = rest.call("POST", ROUTE, json={"model": "examples/vectors", "input": texts, **body})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_each_text_of_a_list_gets_the_vector_it_has_alone(rest: Rest, backbone: Backbone) -> None:
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


def test_base64_encodes_the_same_numbers_as_little_endian_float32(rest: Rest) -> None:
    plain = embed(rest, "hello city")["data"][0]["embedding"]
    packed = embed(rest, "hello city", encoding_format="base64")["data"][0]["embedding"]
    numbers = np.frombuffer(base64.b64decode(packed), dtype="<f4")
    assert numbers.tolist() == pytest.approx(plain, abs=1e-6)


def test_a_text_that_is_too_long_is_cut_only_on_request(rest: Rest) -> None:
    body = {"model": "examples/vectors", "input": "hello " * 50}
    problem = check_problem(rest.call("POST", ROUTE, json=body), 422, "text_too_long")
    assert problem["error"]["message"] == problem["detail"]
    assert problem["error"]["type"] == "invalid_request_error"
    assert embed(rest, "hello " * 50, truncate=True)["usage"]["total_tokens"] == 16


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        pytest.param("dimensions", 8, "input_rejected", id="part of an embedding"),
        pytest.param("dimensions", 0, "invalid_request", id="no dimensions"),
        pytest.param("encoding_format", "int8", "invalid_request", id="unknown encoding"),
        pytest.param("input", [1, "two"], "invalid_request", id="ids and texts"),
        pytest.param("input", [[1], "two"], "invalid_request", id="lists of ids and texts"),
        pytest.param("input", [True], "invalid_request", id="no id"),
        pytest.param("input", [[]], "input_rejected", id="no ids"),
    ],
)
def test_unsupported_options_are_rejected(rest: Rest, field: str, value: object, code: str) -> None:
    body = {"model": "examples/vectors", "input": "hello"} | {field: value}
    problem = check_problem(rest.call("POST", ROUTE, json=body), 422, code)
    if code == "invalid_request":
        assert problem["errors"][0]["field"].startswith(field)
        assert problem["error"]["param"].startswith(field)


def test_special_tokens_among_ids_are_dropped(rest: Rest, backbone: Backbone) -> None:
    ids = ids_of(backbone, "hello city")
    answer = rest.call("POST", ROUTE, json={"model": "examples/vectors", "input": ids}).json()
    assert answer["data"] == embed(rest, "hello city")["data"]


def test_ids_are_placed_into_the_tasks_template(rest: Rest, backbone: Backbone) -> None:
    template = InputTemplate(text="the {text}")
    prefix = make_prefix(backbone.fingerprint, task_type="embedding", input=template)
    put(rest.registry, "acme/templated", prefix)
    ids = ids_of(backbone, "hello city")[1:-1]
    by_ids, by_text = (
        rest.call("POST", ROUTE, "acme", json={"model": "templated", "input": value}).json()
        for value in (ids, "hello city")
    )
    assert by_ids["data"] == by_text["data"]
