"""The Open Inference Protocol, with the real client of Triton and with plain requests."""

import gzip
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput, InferResult
from tritonclient.utils import InferenceServerException

from prefixes.backbone import Backbone
from tests.factories import make_prefix
from tests.server.conftest import Serve
from tests.server.rest import Rest, put
from tests.server.test_bad_requests import check_problem

INFER = "/v2/models/examples/mood/infer"


@pytest.fixture(scope="module")
def triton(rest: Rest) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(rest.url.removeprefix("http://")) as client:
        yield client


def key(rest: Rest, tenant: str = "acme") -> dict[str, str]:
    return {"Authorization": f"Bearer {rest.keys[tenant]}"}


def tensor(name: str, texts: Any, *, binary: bool = True) -> InferInput:
    values = np.array(texts, dtype=np.object_)
    made = InferInput(name, list(values.shape), "BYTES")
    return made.set_data_from_numpy(values, binary_data=binary)


def column(result: InferResult, name: str) -> NDArray[Any]:
    found: NDArray[Any] = result.as_numpy(name)
    assert found is not None, name
    return found


def texts(result: InferResult, name: str) -> list[str]:
    # The client decodes only the texts that it gets in JSON.
    found = column(result, name).ravel().tolist()
    return [text.decode() if isinstance(text, bytes) else text for text in found]


def expected_of(rest: Rest, task: str, inputs: Sequence[Any]) -> list[Any]:
    body = {"model": f"examples/{task}", "input": list(inputs)}
    results: list[Any] = rest.call("POST", "/v1/predict", json=body).json()["results"]
    return results


@pytest.mark.parametrize("binary", [True, False])
def test_triton_classifies_with_scores_in_the_order_of_the_labels(
    rest: Rest, triton: InferenceServerClient, *, binary: bool
) -> None:
    asked = ["good", "bad film", "späte Züge"]
    outputs = [InferRequestedOutput(n, binary_data=binary) for n in ("scores", "labels", "label")]
    result = triton.infer(
        "examples/mood", [tensor("text", asked, binary=binary)], outputs=outputs, request_id="a1"
    )
    expected = expected_of(rest, "mood", asked)
    assert texts(result, "label") == [one["label"] for one in expected]
    assert column(result, "scores").dtype == np.float32
    names = texts(result, "labels")
    for row, one in zip(column(result, "scores"), expected, strict=True):
        by_label = {score["label"]: score["score"] for score in one["scores"]}
        assert row == pytest.approx([by_label[name] for name in names], abs=1e-6)
    response = result.get_response()
    assert (response["id"], response["model_name"]) == ("a1", "examples/mood")
    assert response["model_version"] == "1"


def test_triton_gets_all_outputs_in_binary_by_default(triton: InferenceServerClient) -> None:
    result = triton.infer("examples/mood", [tensor("text", [["good"], ["bad"]])])
    assert {one["name"] for one in result.get_response()["outputs"]} == {
        "scores", "labels", "label",
    }  # fmt: skip
    assert all("data" not in one for one in result.get_response()["outputs"])
    assert column(result, "scores").shape == (2, 2)


def test_triton_selects_labels_above_their_thresholds(
    rest: Rest, triton: InferenceServerClient
) -> None:
    asked = ["good", "war and trade"]
    result = triton.infer("examples/topics", [tensor("text", asked)])
    names = texts(result, "labels")
    assert column(result, "selected").dtype == np.bool_
    for row, one in zip(
        column(result, "selected"), expected_of(rest, "topics", asked), strict=True
    ):
        assert {name for name, is_in in zip(names, row, strict=True) if is_in} == set(one["labels"])


def test_triton_gets_the_value_of_a_regression(rest: Rest, triton: InferenceServerClient) -> None:
    result = triton.infer("examples/rating", [tensor("text", ["good"])])
    (expected,) = expected_of(rest, "rating", ["good"])
    assert column(result, "scores").ravel() == pytest.approx([expected["value"]], abs=1e-5)
    assert result.as_numpy("label") is None


def test_triton_asks_for_the_best_labels_of_its_classification_extension(
    rest: Rest, triton: InferenceServerClient
) -> None:
    outputs = [InferRequestedOutput("scores", class_count=3)]
    result = triton.infer("examples/topics", [tensor("text", ["good", "bad"])], outputs=outputs)
    expected = expected_of(rest, "topics", ["good", "bad"])
    assert column(result, "scores").shape == (2, 3)
    order = ("art", "sport", "trade", "war")
    for row, one in zip(column(result, "scores"), expected, strict=True):
        for cell, score in zip(row, one["scores"][:3], strict=True):
            value, place, label = cell.decode().split(":")
            assert (label, order[int(place)]) == (score["label"],) * 2
            assert float(value) == pytest.approx(score["score"], abs=1e-5)


def test_triton_embeds(rest: Rest, triton: InferenceServerClient) -> None:
    asked = ["hello city", "the river"]
    result = triton.infer("examples/vectors", [tensor("text", asked)])
    body = {"model": "examples/vectors", "input": asked}
    data = rest.call("POST", "/v1/embeddings", json=body).json()["data"]
    assert column(result, "embeddings") == pytest.approx(
        np.array([one["embedding"] for one in data]), abs=1e-6
    )


def test_triton_answers_questions(rest: Rest, triton: InferenceServerClient) -> None:
    question, context = "what was lost", "the book was lost in the city"
    asked = [tensor("question", [question]), tensor("context", [context])]
    result = triton.infer("examples/facts", asked)
    (expected,) = expected_of(rest, "facts", [{"question": question, "context": context}])
    assert texts(result, "answer") == [expected["answer"]]
    assert column(result, "start").tolist() == [expected["start"]]
    assert column(result, "end").tolist() == [expected["end"]]
    assert column(result, "score") == pytest.approx([expected["score"]], abs=1e-6)


def test_triton_chooses(rest: Rest, triton: InferenceServerClient) -> None:
    premise, choices = "the train was late", ["it was lost", "now"]
    result = triton.infer(
        "examples/causes", [tensor("premise", [premise]), tensor("choices", [choices])]
    )
    (expected,) = expected_of(rest, "causes", [{"premise": premise, "choices": choices}])
    assert column(result, "choice").tolist() == [expected["choice"]]
    assert column(result, "scores") == pytest.approx(np.array([expected["scores"]]), abs=1e-6)


def test_triton_finds_entities(rest: Rest, triton: InferenceServerClient) -> None:
    asked = ["the book was lost in a late train", "good"]
    result = triton.infer("examples/things", [tensor("text", asked)])
    expected = expected_of(rest, "things", asked)
    found = [json.loads(text) for text in texts(result, "entities")]
    assert found == [one["entities"] for one in expected]
    assert found[0]


def test_triton_uses_a_private_task_a_version_and_a_short_name_with_its_key(
    rest: Rest, triton: InferenceServerClient
) -> None:
    asked = [tensor("anything", ["good"])]
    for name, version in (
        ("acme/mood", ""), ("acme/mood", "1"), ("acme/mood:live", ""), ("acme/mood@1", ""),
        ("mood", ""), ("mood", "1"),
    ):  # fmt: skip
        result = triton.infer(name, asked, model_version=version, headers=key(rest))
        assert result.get_response()["model_name"] == "acme/mood"
        assert triton.is_model_ready(name, version, headers=key(rest))
        metadata = triton.get_model_metadata(name, version, headers=key(rest))
        assert (metadata["name"], metadata["versions"]) == ("acme/mood", ["1"])
    assert not triton.is_model_ready("acme/mood", "2", headers=key(rest))
    assert not triton.is_model_ready("acme/mood", headers=key(rest, "zoo"))


def test_an_encoded_slash_names_the_same_task(rest: Rest) -> None:
    body = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["good"]}]}
    plain = rest.call("POST", INFER, json=body)
    encoded = rest.call("POST", "/v2/models/examples%2Fmood/infer", json=body)
    assert plain.status_code == 200
    assert encoded.json() == plain.json()


def test_triton_reads_the_metadata_of_the_server_and_of_models(
    rest: Rest, triton: InferenceServerClient
) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    server = triton.get_server_metadata()
    assert server["name"] == "polyprefix"
    assert "binary_tensor_data" in server["extensions"]
    facts = triton.get_model_metadata("examples/facts")
    assert [(one["name"], one["datatype"]) for one in facts["inputs"]] == [
        ("question", "BYTES"), ("context", "BYTES"),
    ]  # fmt: skip
    for task, asked in (
        ("mood", [tensor("text", ["good"])]),
        ("topics", [tensor("text", ["good"])]),
        ("rating", [tensor("text", ["good"])]),
        ("vectors", [tensor("text", ["good"])]),
        ("things", [tensor("text", ["good"])]),
        ("facts", [tensor("question", ["what"]), tensor("context", ["the book"])]),
        ("causes", [tensor("premise", ["late"]), tensor("choices", [["now", "lost"]])]),
    ):
        described = triton.get_model_metadata(f"examples/{task}")["outputs"]
        outputs = triton.infer(f"examples/{task}", asked).get_response()["outputs"]
        assert [one["name"] for one in described] == [one["name"] for one in outputs]
        for one, output in zip(described, outputs, strict=True):
            assert one["datatype"] == output["datatype"]
            assert len(one["shape"]) == len(output["shape"])
            for size, found in zip(one["shape"], output["shape"], strict=True):
                assert size in {-1, found}


def test_triton_lists_the_versions_that_a_caller_may_use(
    rest: Rest, triton: InferenceServerClient
) -> None:
    public = {one["name"] for one in triton.get_model_repository_index()}
    own = triton.get_model_repository_index(headers=key(rest))
    assert {"examples/mood", "examples/vectors"} <= public
    assert not any(name.startswith(("acme/", "zoo/")) for name in public)
    assert own[0]["name"].startswith("acme/")
    assert {"name": "acme/mood", "version": "1", "state": "READY", "reason": ""} in own
    assert rest.call("POST", "/v2/repository/index", json={"ready": True}).status_code == 200


def test_triton_may_compress(triton: InferenceServerClient) -> None:
    asked = [tensor("text", ["good " * 50] * 8)]
    result = triton.infer(
        "examples/mood",
        asked,
        request_compression_algorithm="gzip",
        response_compression_algorithm="gzip",
    )
    assert column(result, "scores").shape == (8, 2)


def test_triton_sees_the_text_of_errors(rest: Rest, triton: InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match=r"\[404\].*Prefix not found: acme/nothing"):
        triton.infer("acme/nothing", [tensor("text", ["good"])], headers=key(rest))
    with pytest.raises(
        InferenceServerException, match=r"no output 'logits'.*scores, labels, label"
    ):
        triton.infer(
            "examples/mood", [tensor("text", ["good"])], outputs=[InferRequestedOutput("logits")]
        )
    with pytest.raises(InferenceServerException, match="has no scores of labels"):
        triton.infer(
            "examples/vectors",
            [tensor("text", ["good"])],
            outputs=[InferRequestedOutput("embeddings", class_count=1)],
        )
    with pytest.raises(InferenceServerException, match="at most 8 are allowed"):
        triton.infer("examples/mood", [tensor("text", ["good"] * 9)])
    number = InferInput("text", [1], "FP32").set_data_from_numpy(np.zeros(1, np.float32))
    with pytest.raises(InferenceServerException, match=r"inputs.0..datatype.*'BYTES'"):
        triton.infer("examples/mood", [number])


def test_a_server_that_is_not_ready_is_live(serve: Serve) -> None:
    running, engine = serve()
    engine.problem = "draining: the server is shutting down"
    with InferenceServerClient(running.url.removeprefix("http://")) as client:
        assert client.is_server_live()
        assert not client.is_server_ready()
    problem = check_problem(running.call("GET", "/v2/health/ready"), 503, "not_ready")
    assert problem["error"] == engine.problem


def packed(*items: str) -> bytes:
    return b"".join(len(item.encode()).to_bytes(4, "little") + item.encode() for item in items)


def send(
    rest: Rest, binary: bytes, *, length: str | None = None, url: str = INFER, **tensor: Any
) -> httpx.Response:
    """Send one tensor in binary; some part of it is usually wrong."""
    size = tensor.pop("size", len(binary))
    one = {"name": "text", "shape": [1], "datatype": "BYTES"} | tensor
    one["parameters"] = {"binary_data_size": size}
    document = json.dumps({"inputs": [one]}).encode()
    headers = {"Inference-Header-Content-Length": length or str(len(document))}
    return rest.call("POST", url, content=document + binary, headers=headers)


def test_a_binary_tensor_needs_no_content_type(rest: Rest) -> None:
    response = send(rest, packed("good"))
    assert response.status_code == 200, response.text
    assert response.json()["outputs"][2]["data"][0] in {"good", "bad"}


@pytest.mark.parametrize(
    ("binary", "more", "message"),
    [
        (packed("good"), {"length": "x y"}, "Invalid Inference-Header-Content-Length 'x y'"),
        (packed("good"), {"length": "-1"}, "Invalid Inference-Header-Content-Length"),
        (packed("good"), {"length": "99999"}, "is 99999, but the body has only"),
        (packed("good"), {"size": 7}, "has 7 bytes|ends after the tensor"),
        (packed("good"), {"size": 99}, "only 8 bytes are left"),
        (packed("good") + b"xy", {"size": 8}, "10 bytes after the JSON, but the tensors have 8"),
        (b"\xff\xff\xff\xffgood", {}, "text 0 .* ends after the tensor"),
        (b"\x01\x00", {}, "text 0 .* ends after the tensor"),
        (b"\x02\x00\x00\x00\xc3\x28", {}, "text 0 .* is not valid UTF-8 at byte 0"),
        (packed("a", "b"), {"shape": [1]}, r"has 2 texts, but its shape \[1\] needs 1"),
        (packed("a"), {"shape": [2]}, r"has 1 texts, but its shape \[2\] needs 2"),
        (packed("a", "b"), {"shape": [1, 2]}, r"expected \[n\] or \[n, 1\]"),
        (b"", {"shape": [10_001]}, "10001 texts; at most 10000"),
        (b"", {"shape": []}, "has 0 texts, but its shape"),
        (b"", {"shape": [0]}, "list of inputs is empty"),
        (packed("a"), {"name": "choices"}, r"expected \[n, k\]"),
    ],
)
def test_a_wrong_binary_tensor_is_rejected(
    rest: Rest, binary: bytes, more: dict[str, Any], message: str
) -> None:
    problem = check_problem(send(rest, binary, **more), 422, "input_rejected")
    assert re.search(message, problem["detail"]), problem["detail"]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([{"name": "text", "shape": [1], "data": [5]}], "not a text"),
        ([{"name": "text", "shape": [1], "data": [["a"]]}], "not a text"),
        ([{"name": "text", "shape": [1, 1], "data": [[["a"]]]}], "not a text"),
        ([{"name": "text", "shape": [2, 1], "data": [["a"], "b"]}], None),
        ([{"name": "text", "shape": [1]}], "has 0 texts"),
        ([{"name": "a", "shape": [1], "data": ["a"]}] * 2, "different names"),
        (
            [
                {"name": "a", "shape": [1], "data": ["a"]},
                {"name": "b", "shape": [2], "data": ["a", "b"]},
            ],
            "same first dimension",
        ),
        (
            [
                {"name": "a", "shape": [1], "data": ["a"]},
                {"name": "b", "shape": [1], "data": ["a"]},
            ],
            "The task takes the fields: text",
        ),
    ],
)
def test_tensors_in_json_are_checked(rest: Rest, inputs: list[Any], message: str | None) -> None:
    body = {"inputs": [{"datatype": "BYTES", **one} for one in inputs]}
    response = rest.call("POST", INFER, json=body)
    if message is None:
        assert response.status_code == 200, response.text
    else:
        problem = check_problem(response, 422, "input_rejected")
        assert message in problem["detail"]


def test_an_output_is_sent_once(rest: Rest) -> None:
    # Otherwise, a small request could get a hundred times the outputs of thousands of inputs.
    inputs = [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["good"]}]
    body = {"inputs": inputs, "outputs": [{"name": "scores"}, {"name": "scores"}]}
    problem = check_problem(rest.call("POST", INFER, json=body), 422, "input_rejected")
    assert "several outputs of the same name" in problem["detail"]


def test_a_truncated_gzip_body_is_rejected(rest: Rest) -> None:
    content = gzip.compress(b'{"inputs": []}')[:-4]
    headers = {"Content-Encoding": "gzip"}
    check_problem(
        rest.call("POST", INFER, content=content, headers=headers), 400, "malformed_request"
    )


def test_half_of_a_surrogate_pair_in_a_tensor_is_rejected(rest: Rest) -> None:
    content = (
        rb'{"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["\ud800"]}]}'
    )
    problem = check_problem(rest.call("POST", INFER, content=content), 422, "invalid_request")
    assert "half of a surrogate pair" in problem["detail"]


def test_wrong_versions_and_names_are_rejected(rest: Rest) -> None:
    url = "/v2/models/examples/mood/versions/01"
    check_problem(rest.call("GET", url), 422, "invalid_request")
    check_problem(rest.call("GET", "/v2/models/examples/mood@1/versions/1"), 422, "invalid_name")
    problem = check_problem(rest.call("GET", "/v2/models/mood/config"), 401, "key_required")
    assert problem["error"]


def test_a_task_with_the_name_of_a_route_is_described_with_its_alias(
    rest: Rest, backbone: Backbone
) -> None:
    put(rest.registry, "examples/infer", make_prefix(backbone.fingerprint))
    described = rest.call("GET", "/v2/models/examples/infer:live").json()
    assert described["name"] == "examples/infer"
    body = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["good"]}]}
    answered = rest.call("POST", "/v2/models/examples/infer/infer", json=body)
    assert answered.json()["model_name"] == "examples/infer"
    response = rest.call("GET", "/v2/models/examples/infer")
    check_problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST"
    check_problem(rest.call("GET", "/v2/models/a/b/c"), 404, "route_not_found")
