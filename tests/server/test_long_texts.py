"""Long texts over HTTP: the windows' answers merged, limits, usage, and the other dialects."""

from typing import Any

import numpy as np
import pytest

from prefixes.answers import find_entities, softmax, whole_outputs, whole_texts
from prefixes.backbone import Backbone, EncodedInput, pool_of, run_mixed
from prefixes.lengths import LengthOptions
from prefixes.registry import Actor, AliasRules
from prefixes.spec import AliasRuleSet, Decisions, LongTexts
from tests.factories import make_prefix, with_golden
from tests.server.rest import Rest, put
from tests.server.test_bad_requests import check_problem
from tests.server.test_tasks import INPUTS, alone, ask, rounded

WINDOWS: dict[str, Any] = {"long_text": "windows", "stride": 4}
LONG = "the book was lost in a late train, and my card is very late " * 2
OTHER = "the book was lost in a late train"


def windows_alone(
    rest: Rest, backbone: Backbone, ref: str
) -> tuple[Any, EncodedInput, list[np.ndarray[Any, Any]]]:
    """A task's description, and the windows of `LONG` with their outputs, run by themselves."""
    prefix, _, _ = alone(rest, backbone, ref, {"text": "a"})
    lengths = LengthOptions(long_text="windows", stride=4)
    (texts,) = backbone.texts.encode(prefix.spec, [{"text": LONG}], lengths=lengths)
    pool, (resident,) = pool_of(backbone, [prefix])
    outputs = run_mixed(backbone, pool, [(text, resident) for text in texts])
    return prefix.spec, texts, [values.numpy() for values in outputs]


def scores(result: dict[str, Any]) -> dict[str, float]:
    return {one["label"]: one["score"] for one in result["scores"]}


def test_a_label_has_the_mean_probability_of_all_windows(rest: Rest, backbone: Backbone) -> None:
    spec, texts, outputs = windows_alone(rest, backbone, "examples/mood")
    sizes = [len(text.token_ids) for text in texts]
    expected = np.average([softmax(values) for values in outputs], axis=0, weights=sizes)

    (result,) = ask(rest, "/v1/classify", model="examples/mood", input=LONG, **WINDOWS)

    assert len(texts) == 3
    assert scores(result) == pytest.approx(
        dict(zip(spec.labels, expected.tolist(), strict=True)), abs=1e-5
    )
    assert result["label"] == spec.labels[int(expected.argmax())]
    assert result["usage"] == {"tokens": sum(sizes), "truncated": False, "windows": 3}


def test_an_alias_reads_windows_and_its_version_does_not(rest: Rest) -> None:
    rules = AliasRules(rest.registry.database)
    rules.set(
        "examples", "mood", "live", AliasRuleSet(long_text="windows", stride=4), by=Actor("test")
    )
    models = ("examples/mood", "examples/mood@1", "examples/mood")
    items = [{"model": model, "text": LONG} for model in models]
    windows, cut, again = ask(rest, "/v1/classify", input=items)
    (other,) = ask(rest, "/v1/classify", model="examples/mood", input=LONG, long_text="truncate")
    rules.remove("examples", "mood", "live", by=Actor("test"))
    (expected,) = ask(rest, "/v1/classify", model="examples/mood", input=LONG, **WINDOWS)

    assert windows["usage"] == again["usage"] == expected["usage"]
    assert set(windows) == set(expected)
    assert scores(windows) == pytest.approx(scores(expected), abs=1e-5)
    assert cut["usage"] == other["usage"]
    assert cut["usage"]["truncated"]
    assert scores(cut) == pytest.approx(scores(other), abs=1e-5)


@pytest.mark.parametrize("merge", ["mean", "max", "first"])
def test_a_request_chooses_the_merge(rest: Rest, backbone: Backbone, merge: str) -> None:
    _, _, outputs = windows_alone(rest, backbone, "examples/mood")
    (result,) = ask(rest, "/v1/classify", model="examples/mood", input=LONG, merge=merge, **WINDOWS)
    (cut,) = ask(rest, "/v1/classify", model="examples/mood", input=LONG)

    if merge == "first":
        assert scores(result) == scores(cut)
        assert result["usage"] == {**cut["usage"], "windows": 1}
    if merge == "max":
        highest = np.max([softmax(values) for values in outputs], axis=0)
        expected = (highest / highest.sum()).tolist()
        assert scores(result) == pytest.approx(
            dict(zip(("bad", "good"), expected, strict=True)), abs=1e-5
        )


def test_truncation_is_the_default_and_says_so(rest: Rest) -> None:
    plain = ask(rest, "/v1/classify", model="examples/mood", input=LONG)
    named = ask(rest, "/v1/classify", model="examples/mood", input=LONG, long_text="truncate")

    assert plain == named
    assert plain[0]["usage"] == {"tokens": 16, "truncated": True}


def test_entities_are_those_of_the_whole_text(rest: Rest, backbone: Backbone) -> None:
    spec, texts, outputs = windows_alone(rest, backbone, "examples/things")
    (whole,), (logits,) = whole_texts(texts), whole_outputs(spec, texts, outputs)
    expected = find_entities(spec, LONG, whole, logits)

    (result,) = ask(
        rest, "/v1/token-classification", model="examples/things", input=LONG, **WINDOWS
    )

    assert [(one["start"], one["end"]) for one in result["entities"]] == [
        (one.start, one.end) for one in expected
    ]
    assert expected[-1].end > len(LONG) // 2
    assert all(one["word"] == LONG[one["start"] : one["end"]] for one in result["entities"])


def test_a_mixed_request_gives_each_input_what_it_gets_alone(rest: Rest) -> None:
    items = [
        {"model": "examples/mood", "text": LONG},
        {"model": "examples/things", "text": OTHER * 2},
        {"model": "examples/facts", **INPUTS["examples/facts"]},
        {"model": "examples/topics", "text": OTHER},
    ]
    vectors = {"model": "examples/vectors", "text": LONG}
    causes = {"model": "examples/causes", **INPUTS["examples/causes"]}

    for group in (items, [vectors, causes, items[3]]):
        together = ask(rest, "/v1/predict", input=group, **WINDOWS)
        for item, result in zip(group, together, strict=True):
            (own,) = ask(rest, "/v1/predict", input=item, **WINDOWS)
            assert rounded(result | {"index": 0}) == rounded(own)


def test_vectors_are_means_of_length_1_on_every_route(rest: Rest, backbone: Backbone) -> None:
    spec, texts, outputs = windows_alone(rest, backbone, "examples/vectors")
    (expected,) = whole_outputs(spec, texts, outputs)
    body = {"model": "examples/vectors", "input": LONG, **WINDOWS}

    (result,) = ask(rest, "/v1/predict", **body)
    response = rest.call("POST", "/v1/embeddings", json=body)

    assert result["embedding"] == pytest.approx(expected.tolist(), abs=1e-5)
    assert response.json()["data"][0]["embedding"] == pytest.approx(expected.tolist(), abs=1e-5)
    assert np.linalg.norm(result["embedding"]) == pytest.approx(1)
    assert response.json()["usage"]["total_tokens"] == sum(len(one.token_ids) for one in texts)


def test_options_are_ignored_by_tasks_that_have_no_windows_or_nothing_to_merge(rest: Rest) -> None:
    items = [{"model": f"examples/{task}", **INPUTS[f"examples/{task}"]} for task in ("facts",)]
    items.append({"model": "examples/causes", **INPUTS["examples/causes"]})
    items.append({"model": "examples/vectors", "text": OTHER * 2})
    results = ask(rest, "/v1/predict", input=items, merge="max", **WINDOWS)
    plain = ask(rest, "/v1/predict", input=items)
    (mean,) = ask(rest, "/v1/predict", input=items[2], **WINDOWS)

    assert rounded(results[:2]) == rounded(plain[:2])
    assert results[2]["embedding"] == pytest.approx(mean["embedding"], abs=1e-5)


@pytest.fixture(scope="module")
def windowed(rest: Rest, backbone: Backbone) -> str:
    """Publishes tasks whose files ask for windows; gives their tenant."""
    for seed, (task, kind) in enumerate(
        {"mood": "sequence_classification", "vectors": "embedding"}.items()
    ):
        prefix = make_prefix(
            backbone.fingerprint,
            seed=seed,
            task_type=kind,
            max_length=16,
            decisions=Decisions(long_texts=LongTexts(stride=4, max_windows=3)),
        )
        put(rest.registry, f"acme/windowed-{task}", prefix)
    return "acme"


def test_every_dialect_uses_the_rule_of_the_task(rest: Rest, windowed: str) -> None:
    model = f"{windowed}/windowed-mood"
    (result,) = ask(rest, "/v1/classify", windowed, model=model, input=LONG)
    assert result["usage"]["windows"] == 3
    expected = pytest.approx(scores(result), abs=1e-5)

    vllm = rest.call("POST", "/classify", windowed, json={"model": model, "input": LONG}).json()
    tei = rest.call("POST", "/predict", windowed, json={"model": model, "inputs": LONG}).json()
    hub = rest.call("POST", f"/models/{model}", windowed, json={"inputs": LONG}).json()
    for found in (vllm["data"][0]["scores"], tei, hub[0] if isinstance(hub[0], list) else hub):
        assert {one["label"]: one["score"] for one in found} == expected
    assert vllm["usage"]["prompt_tokens"] == result["usage"]["tokens"]


def test_every_embedding_dialect_uses_the_rule_of_the_task(rest: Rest, windowed: str) -> None:
    model = f"{windowed}/windowed-vectors"
    (result,) = ask(rest, "/v1/predict", windowed, model=model, input=LONG)
    assert result["usage"]["windows"] == 3

    openai = rest.call("POST", "/v1/embeddings", windowed, json={"model": model, "input": LONG})
    tei = rest.call("POST", "/embed", windowed, json={"model": model, "inputs": LONG})

    expected = pytest.approx(result["embedding"], abs=1e-5)
    assert openai.json()["data"][0]["embedding"] == expected
    assert tei.json()[0] == expected


def test_a_request_turns_the_windows_of_a_task_off(rest: Rest, windowed: str) -> None:
    model = f"{windowed}/windowed-mood"

    (result,) = ask(rest, "/v1/classify", windowed, model=model, input=LONG, long_text="truncate")

    assert result["usage"] == {"tokens": 16, "truncated": True}


def test_a_text_beyond_the_last_window_is_truncated_or_refused(rest: Rest, windowed: str) -> None:
    body = {"model": f"{windowed}/windowed-mood", "input": LONG * 2}
    (result,) = ask(rest, "/v1/classify", windowed, **body)
    assert result["usage"] == {"tokens": 48, "truncated": True, "windows": 3}

    response = rest.call("POST", "/v1/classify", windowed, json={**body, "truncate": False})

    problem = check_problem(response, 422, "text_too_long")
    assert "at most 3 windows of 16" in problem["detail"]


def test_every_window_counts_as_a_text_of_the_request(rest: Rest) -> None:
    body = {"model": "examples/mood", "input": [LONG] * 2, **WINDOWS}
    assert rest.call("POST", "/v1/classify", json=body).status_code == 200

    response = rest.call("POST", "/v1/classify", json={**body, "input": [LONG] * 3})

    detail = check_problem(response, 413, "too_many_inputs")["detail"]
    assert "9 texts" in detail
    assert "at most 8 texts" in detail


@pytest.mark.parametrize(
    ("route", "changes", "field"),
    [
        ("/v1/classify", {"stride": 4}, "stride"),
        ("/v1/classify", {"merge": "max"}, "merge"),
        ("/v1/classify", {"long_text": "truncate", "merge": "max"}, "merge"),
        ("/v1/classify", {"long_text": "cut"}, "long_text"),
        ("/v1/classify", {"long_text": "windows", "stride": -1}, "stride"),
        ("/v1/classify", {"long_text": "windows", "stride": 100_001}, "stride"),
        ("/v1/classify", {"long_text": "windows", "merge": "sum"}, "merge"),
        ("/v1/predict", {"stride": 4}, "stride"),
        ("/v1/embeddings", {"stride": 4}, "stride"),
        ("/v1/token-classification", {"long_text": "windows", "merge": "max"}, "merge"),
        ("/v1/question-answering", {"long_text": "windows"}, "long_text"),
        ("/v1/multiple-choice", {"long_text": "windows"}, "long_text"),
    ],
)
def test_misuse_names_the_member(
    rest: Rest, route: str, changes: dict[str, Any], field: str
) -> None:
    response = rest.call("POST", route, json={"model": "examples/x", "input": "x", **changes})

    problem = check_problem(response, 422, "invalid_request")
    assert [error["field"] for error in problem["errors"]] == [field]


def test_golden_examples_are_replayed_as_a_reader_of_0_1_0_replays_them(
    rest: Rest, backbone: Backbone
) -> None:
    decisions = Decisions(long_texts=LongTexts(stride=4))
    prefix = make_prefix(backbone.fingerprint, seed=21, max_length=16, decisions=decisions)

    response = rest.upload(
        "acme/golden-windows", with_golden(backbone, prefix, (LONG,)).to_bytes(), by="acme"
    )

    assert response.status_code == 201, response.text
