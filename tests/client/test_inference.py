"""Running tasks with the client, on one input, on several, and on streams."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from polyprefix_client import (
    Answer,
    ApiError,
    AsyncClient,
    Choice,
    Classification,
    Client,
    Embedding,
    Entities,
    FailedInput,
    InvalidRequest,
    InvalidRows,
    NotFound,
    Progress,
    read_inputs,
)
from tests.client.conftest import QUICK
from tests.server.rest import Rest


def ask(rest: Rest, route: str, **body: object) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = rest.call("POST", route, "acme", json=body).json()
    return found


def test_one_text_gives_one_result_and_a_list_gives_a_list(rest: Rest, acme: Client) -> None:
    (expected,) = ask(rest, "/v1/classify", model="examples/mood", input="good")["results"]
    one = acme.classify("good", model="examples/mood")
    assert isinstance(one, Classification)
    assert (one.label, one.model) == (expected["label"], "examples/mood@1")
    many = acme.classify(["good", "bad film"], model="mood", top_k=1)
    assert [found.index for found in many] == [0, 1]
    assert [found.model for found in many] == ["acme/mood@1"] * 2
    assert [len(found.scores) for found in many] == [1, 1]
    assert many.tokens == sum(found.usage.tokens for found in many if found.usage)
    assert many.timings is not None
    assert many.request_id == many[0].request_id != ""


def test_every_task_type_has_a_result_class(acme: Client) -> None:
    context = "the book was lost in the city"
    entities = acme.find_entities(context, model="examples/things")
    assert all(context[one.start : one.end] == one.text for one in entities.entities)
    assert all(one.label for one in entities.entities)
    tokens = acme.find_entities(context, model="examples/things", aggregation_strategy="none")
    assert {one.label[:2] for one in tokens.entities} <= {"B-", "I-"}
    answer = acme.answer("what was lost", context, model="examples/facts", top_k=2)
    assert context[answer.start : answer.end] == answer.text
    assert answer.answers is not None
    assert answer.answers[0].text == answer.text
    choice = acme.choose({"premise": "late"}, ["lost", "now"], model="examples/causes")
    assert choice.text == ["lost", "now"][choice.choice]
    mixed = acme.predict(
        [
            {"model": "examples/topics", "text": "art"},
            {"model": "examples/rating", "text": "good"},
            {"model": "examples/things", "text": "a book"},
            {"model": "examples/facts", "question": "what", "context": "a book"},
            {"model": "examples/causes", "premise": "late", "choices": ["lost", "now"]},
            {"model": "examples/vectors", "text": "hello"},
        ]
    )
    kinds = [type(one) for one in mixed]
    assert kinds == [Classification, Classification, Entities, Answer, Choice, Embedding]
    topics, rating, *_ = mixed
    assert isinstance(topics, Classification)
    assert topics.labels is not None
    assert isinstance(rating, Classification)
    assert isinstance(rating.value, float)


def test_vectors_are_those_of_the_server(rest: Rest, acme: Client) -> None:
    body = {"model": "examples/vectors", "input": ["hello", "city"]}
    expected = [one["embedding"] for one in ask(rest, "/v1/embeddings", **body)["data"]]
    found = acme.embed(["hello", "city"], model="examples/vectors")
    for one, vector in zip(found, expected, strict=True):
        assert one.vector == pytest.approx(vector, abs=1e-6)
    single = acme.embed("hello", model="examples/vectors").vector
    assert single == pytest.approx(found[0].vector, abs=1e-6)


def test_an_error_names_its_code_its_field_and_its_request(acme: Client) -> None:
    with pytest.raises(NotFound) as missing:
        acme.classify("good", model="zoo/secret")
    assert (missing.value.code, missing.value.status) == ("prefix_not_found", 404)
    assert missing.value.request_id
    with pytest.raises(InvalidRequest) as invalid:
        acme.classify("good", model="mood", top_k=0)
    assert (invalid.value.code, invalid.value.field) == ("invalid_request", "top_k")
    assert "top_k" in str(invalid.value)


def test_a_stream_keeps_its_order_and_is_read_only_as_needed(rest: Rest) -> None:
    num_read = 0

    def texts() -> Iterator[str]:
        nonlocal num_read
        for number in range(100):
            num_read += 1
            yield f"{'good ' * (number % 7 + 1)}film"

    seen: list[Progress] = []
    with Client(rest.url, retries=QUICK) as client:
        stream = client.predict_all(
            texts(), model="examples/mood", batch_size=4, concurrency=3, on_progress=seen.append
        )
        found = [next(stream)]
        assert num_read <= 4 * 3 + 1
        found += stream
        expected = [client.classify(text, model="examples/mood") for text in texts()]
    assert [one.label for one in found if isinstance(one, Classification)] == [
        one.label for one in expected
    ]
    tokens = [one.usage.tokens for one in expected if one.usage]
    assert [one.done for one in seen] == list(range(4, 101, 4))
    assert (seen[-1].failed, seen[-1].tokens) == (0, sum(tokens))


def test_a_batch_that_is_too_large_is_split(acme: Client) -> None:
    found = list(acme.predict_all(["good"] * 20, model="mood", batch_size=64))  # server: 8
    assert len(found) == 20
    assert not any(isinstance(one, FailedInput) for one in found)


def test_a_bad_input_ends_a_stream_or_becomes_an_item_of_it(acme: Client) -> None:
    texts = ["good", "bad", " ", "great", "good"]
    with pytest.raises(InvalidRequest) as error:
        list(acme.predict_all(texts, model="mood"))
    assert error.value.__notes__ == ["The input is number 2, counted from 0."]
    found = list(acme.predict_all(texts, model="mood", on_error="yield", batch_size=2))
    failed = [one for one in found if isinstance(one, FailedInput)]
    assert [(one.position, one.input, one.error.code) for one in failed] == [
        (2, " ", "input_rejected")
    ]
    assert len(found) == 5
    assert found.index(failed[0]) == 2


def test_a_stream_that_is_left_early_ends_its_requests(acme: Client) -> None:
    stream = acme.predict_all(["good"] * 50, model="mood", batch_size=2, concurrency=2)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    with pytest.raises(StopIteration):
        next(stream)


@pytest.mark.anyio
async def test_the_asynchronous_client_does_the_same(rest: Rest, acme: Client) -> None:
    texts = [f"{'good ' * (number % 5 + 1)}film" for number in range(30)]
    async with AsyncClient(rest.url, rest.keys["acme"], retries=QUICK) as client:
        one = await client.classify("good", model="mood")
        stream = client.predict_all(texts, model="mood", batch_size=4, concurrency=3)
        found = [item async for item in stream]
        with pytest.raises(ApiError, match="not found"):
            await client.classify("good", model="zoo/secret")
    assert one.label == acme.classify("good", model="mood").label
    expected = list(acme.predict_all(texts, model="mood"))
    labels = [item.label for item in found if isinstance(item, Classification)]
    assert labels == [item.label for item in expected if isinstance(item, Classification)]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.jsonl", '{"text": "x"}\n\n"y"\n', [{"text": "x"}, "y"]),
        ("a.csv", "text,text_pair\nx,y\n", [{"text": "x", "text_pair": "y"}]),
        ("a.TSV", "text\nx\n", [{"text": "x"}]),
        ("a.txt", "\ufeffx\n\ny\r\n", ["x", "y"]),
    ],
)
def test_files_of_inputs_are_read(
    tmp_path: Path, name: str, content: str, expected: list[object]
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert list(read_inputs(tmp_path / name)) == expected


def test_a_damaged_file_of_inputs_is_an_error_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"text": "x"}) + "\n{\n")
    with pytest.raises(InvalidRows, match=r"rows\.jsonl:2: the line is not valid JSON"):
        list(read_inputs(file))
    file.write_text("1\n")
    with pytest.raises(InvalidRows, match="expected a text or an object; found '1'"):
        list(read_inputs(file))
    with pytest.raises(InvalidRows, match="the extension must be one of"):
        list(read_inputs(tmp_path / "rows.xlsx"))
