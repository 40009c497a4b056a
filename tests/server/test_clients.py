"""The real clients of other servers, unmodified, against a server on a socket."""

import base64
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from prefixes.backbone import Backbone
from tests.factories import ids_of
from tests.server.pages import DOCS, section_of
from tests.server.rest import Rest, serving


@pytest.fixture
def client(rest: Rest) -> Iterator[openai.OpenAI]:
    """OpenAI's client with the key of `acme`."""
    with openai.OpenAI(base_url=f"{rest.url}/v1", api_key=rest.keys["acme"]) as made:
        yield made


def hub(rest: Rest, task: str, tenant: str = "examples") -> InferenceClient:
    return InferenceClient(base_url=f"{rest.url}/models/{tenant}/{task}")


@pytest.fixture(scope="module", params=["mood", "vectors", "things", "facts"])
def rooted(
    request: pytest.FixtureRequest, backbone: Backbone, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """A task, and the URL of a server whose default it is."""
    task: str = request.param
    folder: Path = tmp_path_factory.mktemp(task)
    with serving(folder, backbone, default_model=f"examples/{task}") as running:
        yield task, running.url


def ask(rest: Rest, route: str, tenant: str | None = None, **body: Any) -> Any:
    response = rest.call("POST", route, tenant, json=body)
    assert response.status_code == 200, response.text
    return response.json()


def vectors(rest: Rest, *texts: str) -> list[list[float]]:
    answer = ask(rest, "/v1/embeddings", model="examples/vectors", input=list(texts))
    return [item["embedding"] for item in answer["data"]]


def test_openai_embeds_with_its_default_encoding_and_as_numbers(
    rest: Rest, client: openai.OpenAI
) -> None:
    texts = ["hello city", "the river"]
    expected = vectors(rest, *texts)
    default = client.embeddings.create(model="examples/vectors", input=texts)
    plain = client.embeddings.create(
        model="examples/vectors", input=texts, encoding_format="float", user="somebody"
    )
    assert default.model == plain.model == "examples/vectors@1"
    assert default.usage.total_tokens == plain.usage.total_tokens > 0
    for answer in (default, plain):
        for item, vector in zip(answer.data, expected, strict=True):
            assert item.embedding == pytest.approx(vector, abs=1e-6)


def test_openai_may_send_the_number_of_dimensions(rest: Rest, client: openai.OpenAI) -> None:
    (vector,) = vectors(rest, "hello")
    same = client.embeddings.create(model="examples/vectors", input="hello", dimensions=len(vector))
    assert same.data[0].embedding == pytest.approx(vector, abs=1e-6)
    with pytest.raises(openai.UnprocessableEntityError, match="cannot be shortened"):
        client.embeddings.create(
            model="examples/vectors", input="hello", dimensions=len(vector) - 1
        )


def test_unknown_openai_members_are_ignored(client: openai.OpenAI) -> None:
    extra = {"input_type": "query", "metadata": {"trace": "1"}, "truncate": None}
    answer = client.embeddings.create(model="examples/vectors", input="hello", extra_body=extra)
    assert len(answer.data) == 1


def test_openai_sends_ids_of_the_backbones_tokenizer(
    rest: Rest, client: openai.OpenAI, backbone: Backbone
) -> None:
    texts = ["hello city", "the river is free"]
    ids = [ids_of(backbone, text)[1:-1] for text in texts]
    many = client.embeddings.create(model="examples/vectors", input=ids)
    one = client.embeddings.create(model="examples/vectors", input=ids[0])
    found = [item.embedding for item in (*many.data, *one.data)]
    for vector, text in zip(found, (*texts, texts[0]), strict=True):
        assert vector == pytest.approx(vectors(rest, text)[0], abs=1e-6)


def test_ids_of_another_vocabulary_are_rejected(client: openai.OpenAI, backbone: Backbone) -> None:
    size = backbone.fingerprint.vocab_size
    with pytest.raises(openai.UnprocessableEntityError, match=rf"input\[1\]: .*{size} is not in"):
        client.embeddings.create(model="examples/vectors", input=[[7], [7, size]])
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        client.embeddings.create(model="examples/vectors", input=[[7], [-1]])
    assert caught.value.param == "input[1][0]"


def test_openai_lists_and_retrieves_models_whose_ids_have_a_slash(client: openai.OpenAI) -> None:
    listed = {model.id: model for model in client.models.list()}
    assert {"examples/vectors:live", "examples/vectors@1", "acme/mood:live"} <= set(listed)
    for name in ("examples/vectors", "examples/vectors@1", "acme/mood:live", "mood"):
        found = client.models.retrieve(name)
        assert found.id == name
        assert found.created > 0
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("acme/nothing")


def test_hugging_face_classifies_texts_under_a_tasks_own_url(rest: Rest) -> None:
    found = hub(rest, "mood").text_classification("good")
    expected = ask(rest, "/predict", model="examples/mood", inputs="good")
    assert [item.label for item in found] == [one["label"] for one in expected]
    assert [item.score for item in found] == pytest.approx([one["score"] for one in expected])
    best = hub(rest, "mood:live").text_classification("good", top_k=1)
    assert [item.label for item in best] == [expected[0]["label"]]
    logits = hub(rest, "mood@1").text_classification("good", function_to_apply="none")
    raw = ask(rest, "/predict", model="examples/mood", inputs="good", raw_scores=True)
    assert logits[0].score == pytest.approx(raw[0]["score"])


def test_hugging_face_uses_a_private_task_with_its_key(rest: Rest) -> None:
    url = f"{rest.url}/models/acme/mood"
    assert InferenceClient(base_url=url, api_key=rest.keys["acme"]).text_classification("good")
    with pytest.raises(HfHubHTTPError, match="404"):
        InferenceClient(base_url=url, api_key=rest.keys["zoo"]).text_classification("good")


def test_hugging_face_finds_entities(rest: Rest) -> None:
    text = "the book was lost in a late train"
    result = ask(rest, "/v1/token-classification", model="examples/things", input=text)
    expected = result["results"][0]["entities"]
    assert expected
    found = hub(rest, "things").token_classification(text)
    for item, one in zip(found, expected, strict=True):
        assert (item.entity_group, item.word) == (one["entity_group"], one["word"])
        assert (item.start, item.end) == (one["start"], one["end"])
        assert item.score == pytest.approx(one["score"])
    tokens = hub(rest, "things").token_classification(text, aggregation_strategy="none")
    assert all(item.entity for item in tokens)
    ignored = [one["entity_group"] for one in expected]
    assert hub(rest, "things").token_classification(text, ignore_labels=ignored) == []


def test_hugging_face_answers_questions(rest: Rest) -> None:
    question, context = "what was lost", "the book was lost in the city. a card."
    asked = {"question": question, "context": context}
    result = ask(rest, "/v1/question-answering", model="examples/facts", input=asked, top_k=2)
    best = result["results"][0]
    found = hub(rest, "facts").question_answering(question, context)
    assert not isinstance(found, list)
    assert (found.answer, found.start, found.end) == (best["answer"], best["start"], best["end"])
    several = hub(rest, "facts").question_answering(question, context, top_k=2, doc_stride=16)
    assert isinstance(several, list)
    assert [one.answer for one in several] == [one["answer"] for one in best["answers"]]


def test_hugging_face_extracts_features(rest: Rest) -> None:
    texts = ["hello city", "the river"]
    expected = np.array(vectors(rest, *texts))
    assert hub(rest, "vectors").feature_extraction(texts) == pytest.approx(expected, abs=1e-6)
    one = hub(rest, "vectors").feature_extraction(texts[0], normalize=True, truncate=True)
    assert one == pytest.approx(expected[:1], abs=1e-6)


def test_hugging_face_compares_sentences(rest: Rest) -> None:
    source, *others = np.array(vectors(rest, "hello city", "hello city", "the river"))
    found = hub(rest, "vectors").sentence_similarity("hello city", ["hello city", "the river"])
    assert found == pytest.approx([source @ other for other in others], abs=1e-5)
    assert found[0] == pytest.approx(1)


def test_hugging_face_uses_the_root_as_with_text_embeddings_inference(
    rooted: tuple[str, str],
) -> None:
    task, url = rooted
    client = InferenceClient(base_url=url)
    question, context = "what was lost", "the book was lost in the city"
    match task:
        case "mood":
            found = client.text_classification("good")
            assert {item.label for item in found} == {"good", "bad"}
        case "vectors":
            assert client.feature_extraction(["hello", "city"]).shape[0] == 2
            assert client.feature_extraction("hello").ndim == 2
            assert len(client.sentence_similarity("hello", ["city", "river"])) == 2
        case "things":
            text = "the book was lost in a late train"
            assert all(item.word in text for item in client.token_classification(text))
        case "facts":
            answer = client.question_answering(question=question, context=context)
            assert not isinstance(answer, list)
            assert answer.answer in context


def _by_label(scores: list[dict[str, Any]]) -> dict[str, float]:
    return {score["label"]: score["score"] for score in scores}


def test_the_root_reads_lists_as_text_embeddings_inference_does(rooted: tuple[str, str]) -> None:
    task, url = rooted
    if task == "mood":
        single = httpx.post(url, json={"inputs": "good", "raw_scores": None}).json()
        assert {score["label"] for score in single} == {"good", "bad"}
        assert httpx.post(url, json={"inputs": ["good"]}).json() == single
        batch = httpx.post(url, json={"inputs": [["good"], ["good"]]}).json()
        expected = pytest.approx(_by_label(single), abs=1e-6)
        assert [_by_label(scores) for scores in batch] == [expected] * 2
        info = httpx.get(f"{url}/info").json()
        assert info["model_type"] == {
            "classifier": {"id2label": {"0": "bad", "1": "good"}, "label2id": {"bad": 0, "good": 1}}
        }
    if task == "vectors":
        batch = httpx.post(url, json={"inputs": ["hello", "city"]}).json()
        assert httpx.post(f"{url}/embed", json={"inputs": ["hello", "city"]}).json() == batch
        info = httpx.get(f"{url}/info").json()
        assert info["model_id"] == "examples/vectors@1"
        assert "embedding" in info["model_type"]


def test_a_server_without_a_default_model_describes_its_backbone(
    rest: Rest, backbone: Backbone
) -> None:
    info = rest.call("GET", "/info").json()
    assert info["model_id"] == backbone.fingerprint.name
    assert info["max_client_batch_size"] == 8
    named = rest.call("GET", "/info", params={"model": "examples/mood"}).json()
    assert (named["model_id"], named["max_input_length"]) == ("examples/mood@1", 16)


def test_lists_and_pairs_for_hugging_face_are_separate_inputs(rest: Rest) -> None:
    route = "/models/examples/mood"
    many = ask(rest, route, inputs=["good", "bad film"])
    assert [len(scores) for scores in many] == [2, 2]
    pair = {"text_a": "a good film", "text_b": "a great film"}
    by_name = ask(rest, "/models/acme/pair", "acme", inputs=pair)
    assert by_name == ask(rest, "/models/acme/pair", "acme", inputs=[[*pair.values()]])


def test_a_multiple_choice_has_a_url_too(rest: Rest) -> None:
    asked = {"premise": "the train was late", "choices": ["it was lost", "now"]}
    found = ask(rest, "/models/examples/causes", inputs=asked)
    assert set(found) == {"choice", "text", "scores"}
    assert [found] == ask(rest, "/models/examples/causes", inputs=[asked])


def test_vllm_classifies_texts_and_ids_and_ignores_unknown_members(
    rest: Rest, backbone: Backbone
) -> None:
    body: dict[str, Any] = {"model": "examples/mood", "input": "good", "metadata": {"a": "b"}}
    plain = ask(
        rest, "/classify", **body, priority=None, use_activation=None, add_special_tokens=None
    )
    ids = ids_of(backbone, "good")[1:-1]
    assert ask(rest, "/classify", **{**body, "input": ids})["data"] == plain["data"]
    logits = ask(rest, "/classify", **body, activation=False)["data"][0]["probs"]
    assert sum(logits) != pytest.approx(1)


def test_nulls_stand_for_the_default_in_every_dialect(rest: Rest) -> None:
    nothing = dict.fromkeys(
        ("raw_scores", "truncate", "truncation_direction", "parameters", "normalize", "dimensions")
    )
    nothing |= dict.fromkeys(("encoding_format", "user", "prompt_name", "truncate_prompt_tokens"))
    for route, body in (
        ("/predict", {"model": "examples/mood", "inputs": "good"}),
        ("/classify", {"model": "examples/mood", "input": "good"}),
        ("/embed", {"model": "examples/vectors", "inputs": "good"}),
        ("/v1/embeddings", {"model": "examples/vectors", "input": "good"}),
        ("/models/examples/mood", {"inputs": "good"}),
    ):
        assert ask(rest, route, **body, **nothing)


def test_an_ignored_member_is_logged_once(rest: Rest, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "server.api.dialects.requests")
    for _ in range(3):
        ask(rest, "/predict", model="examples/mood", inputs="good", never_seen=1)
    assert [record.getMessage() for record in caplog.records].count(
        "PredictRequest: ignoring the unknown member 'never_seen' in this and all later requests"
    ) == 1


def test_base64_of_the_default_encoding_is_float32(rest: Rest) -> None:
    answer = ask(
        rest, "/v1/embeddings", model="examples/vectors", input="hello", encoding_format="base64"
    )
    packed = base64.b64decode(answer["data"][0]["embedding"])
    assert np.frombuffer(packed, "<f4").tolist() == pytest.approx(vectors(rest, "hello")[0])


PAGE = (DOCS / "clients.md").read_text()


@pytest.mark.parametrize(
    "title",
    [
        "OpenAI",
        "Hugging Face",
        "text-embeddings-inference",
        "vLLM",
        "Triton and KServe",
        "LangChain",
    ],
)
def test_snippets_of_the_page_run(rest: Rest, title: str) -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", section_of(PAGE, title), re.DOTALL)
    names: dict[str, Any] = {"URL": rest.url, "KEY": rest.keys["acme"]}
    exec(snippet, names)
    if "client" in names:
        names["client"].close()
    assert {"labels", "answer", "scores", "label"} & names.keys()
