"""Routes for each type of task, and the one for all, with the real engine on a tiny backbone."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from prefixes import InputTemplate, Prefix, PrefixRef
from prefixes.answers import find_answers, find_entities, softmax
from prefixes.backbone import Backbone, pool_of, run_mixed
from prefixes.encoded import EncodedInput
from prefixes.template import Fields
from server.api.inference import ROUTES
from server.api.task_results import AnyResult, TaskResponse
from tests.factories import make_prefix
from tests.server.rest import TYPED, Rest, put
from tests.server.test_bad_requests import check_problem

UNICODE = [
    pytest.param("the 👩\u200d🔬 lost a card 👍🏽 now", id="emoji"),
    pytest.param("a cafe\u0301 in the ci\u0327ty", id="combining marks"),
    pytest.param("我愛東京 and 漢字", id="ideographs"),
    pytest.param("the שלום book", id="right to left"),
]
PREMISE = {"premise": "the train was late", "choices": ["it was lost", "very good", "now"]}
INPUTS: dict[str, dict[str, Any]] = {
    "examples/mood": {"text": "a very good film"},
    "examples/things": {"text": "the book was lost in a late train"},
    "examples/facts": {"question": "what was lost", "context": "the book was lost. it is late."},
    "examples/causes": PREMISE,
    "examples/vectors": {"text": "hello city"},
}


RANKED = {"sequence_classification", "question_answering"}


def ask(rest: Rest, route: str, tenant: str | None = None, **body: Any) -> list[dict[str, Any]]:
    response = rest.call("POST", route, tenant, json=body)
    assert response.status_code == 200, response.text
    results: list[dict[str, Any]] = response.json()["results"]
    return results


def find(rest: Rest, **body: Any) -> list[dict[str, Any]]:
    """The entities of one text."""
    (result,) = ask(rest, "/v1/token-classification", model="examples/things", **body)
    entities: list[dict[str, Any]] = result["entities"]
    return entities


def answer(rest: Rest, context: str, **body: Any) -> dict[str, Any]:
    fields = {"question": "what was lost", "context": context}
    (result,) = ask(rest, "/v1/question-answering", model="examples/facts", input=fields, **body)
    return result


def alone(
    rest: Rest, backbone: Backbone, ref: str, fields: Fields
) -> tuple[Prefix, EncodedInput, list[NDArray[np.float32]]]:
    """A task's prefix, and the texts and outputs of an input that runs by itself."""
    digest = rest.registry.version(PrefixRef.parse(ref), reader=None).digest
    prefix = Prefix.from_bytes(rest.registry.store.get(digest), fits=[backbone.fingerprint])
    pool, (resident,) = pool_of(backbone, [prefix])
    (texts,) = backbone.texts.encode(prefix.spec, [fields])
    outputs = run_mixed(backbone, pool, [(text, resident) for text in texts])
    return prefix, texts, [values.numpy() for values in outputs]


def test_entities_are_those_of_the_text_alone_in_the_shape_of_the_pipeline(
    rest: Rest, backbone: Backbone
) -> None:
    text = INPUTS["examples/things"]["text"]
    prefix, (encoded,), (logits,) = alone(rest, backbone, "examples/things", {"text": text})
    expected = find_entities(prefix.spec, text, encoded, logits)
    entities = find(rest, input=text)
    assert expected
    assert entities == [
        {
            "entity_group": one.label,
            "score": pytest.approx(one.score, abs=1e-5),
            "word": one.text,
            "start": one.start,
            "end": one.end,
        }
        for one in expected
    ]


@pytest.mark.parametrize("text", UNICODE)
@pytest.mark.parametrize("strategy", ["none", "simple", "first", "average", "max"])
def test_entities_are_slices_of_any_text(rest: Rest, text: str, strategy: str) -> None:
    entities = find(rest, input={"text": text}, aggregation_strategy=strategy)
    assert entities
    for entity in entities:
        assert entity["word"] == text[entity["start"] : entity["end"]] != ""


def test_without_aggregation_each_token_has_its_tag_and_number(rest: Rest) -> None:
    entities = find(rest, input="the book was lost", aggregation_strategy="none")
    assert {frozenset(entity) for entity in entities} == {
        frozenset({"entity", "score", "index", "word", "start", "end"})
    }
    assert {entity["entity"] for entity in entities} <= {"B-thing", "I-thing"}
    words = ["", "the", "book", "was", "lost", ""]
    assert all(words[entity["index"]] == entity["word"] for entity in entities)


def test_an_answer_is_that_of_the_context_alone_read_in_windows(
    rest: Rest, backbone: Backbone
) -> None:
    fields = {"question": "what was lost", "context": "the book was lost. " * 6}
    prefix, texts, logits = alone(rest, backbone, "examples/facts", fields)
    assert len(texts) > 2
    expected = find_answers(prefix.spec, fields["context"], texts, logits, top_k=3)
    result = answer(rest, fields["context"], top_k=3)
    assert result["answers"] == [
        {
            "score": pytest.approx(one.score, abs=1e-5),
            "start": one.start,
            "end": one.end,
            "answer": one.text,
        }
        for one in expected
    ]
    assert {name: result[name] for name in result["answers"][0]} == result["answers"][0]
    assert result["usage"] == {
        "tokens": sum(len(text.token_ids) for text in texts),
        "truncated": False,
    }


@pytest.mark.parametrize("text", UNICODE)
def test_answers_are_slices_of_any_context(rest: Rest, text: str) -> None:
    for one in answer(rest, text, top_k=20)["answers"]:
        assert one["answer"] == text[one["start"] : one["end"]] != ""


def test_only_the_best_answer_is_returned_by_default(rest: Rest) -> None:
    assert "answers" not in answer(rest, "the book was lost")
    assert len(answer(rest, "the book was lost", top_k=4)["answers"]) == 4


def test_max_answer_len_limits_the_answer(rest: Rest) -> None:
    for one in answer(rest, "the book was lost", top_k=20, max_answer_len=1)["answers"]:
        assert " " not in one["answer"]


def test_an_empty_answer_is_returned_only_where_allowed(rest: Rest) -> None:
    texts = {
        may: [
            one["answer"]
            for one in answer(rest, "the book was lost", top_k=21, handle_impossible_answer=may)[
                "answers"
            ]
        ]
        for may in (True, False, None)
    }
    assert texts[True].count("") == 1
    assert [text for text in texts[True] if text] == texts[False] == texts[None]


def test_an_option_forbids_the_empty_answer(rest: Rest, backbone: Backbone) -> None:
    rules = {"stride": 4, "null_threshold": -100.0}  # always "no answer"
    prefix = make_prefix(
        backbone.fingerprint, seed=2, task_type="question_answering", answers=rules
    )
    put(rest.registry, "acme/doubts", prefix)
    item = {"question": "what was lost", "context": "the book was lost"}
    route, model = "/v1/question-answering", "acme/doubts"
    (none,) = ask(rest, route, "acme", model=model, input=item)
    (some,) = ask(rest, route, "acme", model=model, input=item, handle_impossible_answer=False)
    assert (none["answer"], none["start"], none["end"]) == ("", 0, 0)
    assert some["answer"] == item["context"][some["start"] : some["end"]] != ""


def test_the_best_choice_is_that_of_the_choices_alone(rest: Rest, backbone: Backbone) -> None:
    _, _, outputs = alone(rest, backbone, "examples/causes", PREMISE)
    expected = softmax(np.concatenate(outputs))
    (result,) = ask(rest, "/v1/multiple-choice", model="examples/causes", input=PREMISE)
    assert result["scores"] == pytest.approx(expected.tolist(), abs=1e-5)
    assert sum(result["scores"]) == pytest.approx(1)
    assert result["choice"] == int(expected.argmax())
    assert result["text"] == PREMISE["choices"][result["choice"]]


def test_a_request_of_all_types_returns_the_results_of_the_separate_routes(
    rest: Rest,
) -> None:
    items = [{"model": model, **fields} for model, fields in INPUTS.items()]
    results = ask(rest, "/v1/predict", input=items, top_k=2)
    assert [result["index"] for result in results] == [0, 1, 2, 3, 4]
    for item, mixed in zip(items, results, strict=True):
        route = ROUTES[mixed["task_type"]]
        if mixed["task_type"] == "embedding":
            response = rest.call(
                "POST", route, json={"model": item["model"], "input": item["text"]}
            )
            assert mixed["embedding"] == pytest.approx(
                response.json()["data"][0]["embedding"], abs=1e-5
            )
            continue
        options: dict[str, Any] = {"top_k": 2} if mixed["task_type"] in RANKED else {}
        (own,) = ask(rest, route, input=item, **options)
        assert rounded(mixed | {"index": 0}) == rounded(own)


@pytest.mark.parametrize(
    ("route", "count"), [("/v1/classify", 8), ("/v1/predict", 8), ("/v1/predict", 1)]
)
def test_responses_have_the_documented_shape(rest: Rest, route: str, count: int) -> None:
    items = [{"model": "examples/mood", **INPUTS["examples/mood"]}] * count
    response = rest.call("POST", route, json={"input": items})
    assert response.headers["content-type"] == "application/json"
    answer = TaskResponse[AnyResult].model_validate_json(response.content)
    assert [result.index for result in answer.results] == list(range(count))


def rounded(value: Any) -> Any:
    match value:
        case dict():
            return {name: rounded(item) for name, item in value.items()}
        case list():
            return [rounded(item) for item in value]
        case float():
            return pytest.approx(value, abs=1e-5)
        case _:
            return value


def test_long_inputs_are_served_like_short_ones(rest: Rest, backbone: Backbone) -> None:
    prefix = make_prefix(
        backbone.fingerprint, seed=3, task_type="token_classification", max_length=300
    )
    put(rest.registry, "acme/long", prefix)
    texts = [{"text": word + " the book was lost" * 60} for word in ("now", "who", "my", "it")]
    together = ask(rest, "/v1/predict", "acme", model="long", input=texts)
    for text, result in zip(texts, together, strict=True):
        (one,) = ask(rest, "/v1/token-classification", "acme", model="long", input=text)
        assert rounded(result | {"index": 0}) == rounded(one)


def test_a_tagged_text_may_come_with_a_second_one_that_says_what_its_tags_are_about(
    rest: Rest, backbone: Backbone
) -> None:
    template = InputTemplate(text="{text}", text_pair="{predicate}")
    prefix = make_prefix(
        backbone.fingerprint, seed=3, task_type="token_classification", input=template
    )
    put(rest.registry, "acme/roles", prefix)
    texts = [{"text": "my city lost the train", "predicate": word} for word in ("lost", "train")]
    route = "/v1/token-classification"
    results = ask(rest, route, "acme", model="roles", input=texts, aggregation_strategy="none")
    for fields, result in zip(texts, results, strict=True):
        for one in result["entities"]:
            assert fields["text"][one["start"] : one["end"]] == one["word"]
    assert rounded(results[0]["entities"]) != rounded(results[1]["entities"])


def test_options_apply_to_the_types_that_have_them(rest: Rest, backbone: Backbone) -> None:
    items = [{"model": model, **INPUTS[model]} for model in ("examples/things", "examples/mood")]
    entities, labels = ask(
        rest,
        "/v1/predict",
        input=items,
        top_k=1,
        aggregation_strategy="none",
        function_to_apply="none",
    )
    assert "entity" in entities["entities"][0]
    assert len(labels["scores"]) == 1
    _, _, (logits,) = alone(rest, backbone, "examples/mood", INPUTS["examples/mood"])
    assert labels["scores"][0]["score"] == pytest.approx(float(logits.max()), abs=1e-5)


ANSWERED = {route: kind for kind, route in ROUTES.items()} | {
    "/predict": "sequence_classification",
    "/classify": "sequence_classification",
}


@pytest.mark.parametrize("route", ANSWERED)
@pytest.mark.parametrize("model", INPUTS)
def test_the_error_for_another_task_type_names_the_right_route(
    rest: Rest, route: str, model: str
) -> None:
    kind = TYPED.get(model.removeprefix("examples/"), "sequence_classification")
    if kind == ANSWERED[route]:
        return
    response = rest.call(
        "POST", route, json={"model": model, "inputs" if route == "/predict" else "input": "good"}
    )
    problem = check_problem(response, 422, "wrong_task_type")
    assert f"task type of {model}:live is {kind}," in problem["detail"]
    assert f"POST {ROUTES[kind]}" in problem["detail"]


def test_a_wrong_task_type_in_a_list_names_its_index(rest: Rest) -> None:
    items = [{"model": model, **INPUTS[model]} for model in ("examples/mood", "examples/facts")]
    response = rest.call("POST", "/v1/classify", json={"input": items})
    assert "input[1]: " in check_problem(response, 422, "wrong_task_type")["detail"]


@pytest.mark.parametrize(
    ("model", "fields", "message"),
    [
        pytest.param("things", {"text": ["a", "b"]}, "'text' is a list", id="a list of texts"),
        pytest.param("things", {"words": "a"}, "takes the fields: text", id="unknown field"),
        pytest.param("facts", {"question": "who"}, "question, context", id="field missing"),
        pytest.param("causes", {**PREMISE, "choices": "now"}, "2 to 100", id="choices as a text"),
        pytest.param("causes", {**PREMISE, "choices": ["now"]}, "2 to 100", id="one choice"),
        pytest.param("causes", {**PREMISE, "choices": []}, "2 to 100", id="no choice"),
        pytest.param("causes", {**PREMISE, "choices": ["a", " "]}, "choices[1]", id="empty one"),
        pytest.param("causes", {"premise": "now"}, "premise, choices", id="no choices at all"),
    ],
)
def test_fields_that_do_not_fit_the_task(
    rest: Rest, model: str, fields: dict[str, Any], message: str
) -> None:
    body = {"model": f"examples/{model}", "input": fields}
    response = rest.call("POST", ROUTES[TYPED[model]], json=body)
    assert message in check_problem(response, 422, "input_rejected")["detail"]


@pytest.mark.parametrize(
    ("route", "field", "value"),
    [
        ("/v1/token-classification", "aggregation_strategy", "best"),
        ("/v1/question-answering", "top_k", 0),
        ("/v1/question-answering", "max_answer_len", 0),
        ("/v1/question-answering", "handle_impossible_answer", "no"),
        ("/v1/multiple-choice", "top_k", 1),
        ("/v1/predict", "top_k", 0),
    ],
)
def test_options_out_of_range(rest: Rest, route: str, field: str, value: object) -> None:
    response = rest.call("POST", route, json={"model": "examples/x", "input": "x", field: value})
    problem = check_problem(response, 422, "invalid_request")
    assert [error["field"] for error in problem["errors"]] == [field]


def test_a_list_is_not_a_model(rest: Rest) -> None:
    body = {"input": {"model": ["examples/mood"], "text": "good"}}
    check_problem(rest.call("POST", "/v1/predict", json=body), 422, "invalid_name")


def test_every_choice_counts_as_a_text_of_the_request(rest: Rest) -> None:
    body = {"model": "examples/causes", "input": [PREMISE] * 2}
    assert rest.call("POST", "/v1/multiple-choice", json=body).status_code == 200
    body["input"] = [PREMISE] * 3
    response = rest.call("POST", "/v1/multiple-choice", json=body)
    assert "9 choices" in check_problem(response, 413, "too_many_inputs")["detail"]


def test_every_window_counts_as_a_text_of_the_request(rest: Rest) -> None:
    fields = {"question": "what was lost", "context": "the book was lost. " * 40}
    response = rest.call(
        "POST", "/v1/question-answering", json={"model": "examples/facts", "input": fields}
    )
    assert "at most 8" in check_problem(response, 413, "too_many_inputs")["detail"]


@pytest.mark.parametrize("task_type", TYPED.values())
def test_a_private_task_of_any_type_is_hidden_from_others(
    rest: Rest, backbone: Backbone, task_type: str
) -> None:
    task = task_type.replace("_", "-")
    put(rest.registry, f"acme/{task}", make_prefix(backbone.fingerprint, task_type=task_type))
    for route in (ROUTES[task_type], "/v1/predict"):  # type: ignore[index]
        body = {"model": f"acme/{task}", "input": "a text"}
        check_problem(rest.call("POST", route, json=body), 401, "key_required")
        check_problem(rest.call("POST", route, "zoo", json=body), 404, "prefix_not_found")
