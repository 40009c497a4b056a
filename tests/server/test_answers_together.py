"""All options for answers in one mixed request, which must equal each input sent alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from prefixes.backbone import Backbone
from prefixes.spec import Decisions, Hierarchy
from tests.factories import make_prefix, with_rejection
from tests.server.rest import Rest, put, serving

LABELS: Final = ("ship", "bill/late", "bill/refund", "bill/fee")
LONG: Final = "a very good film about the late train, my lost card and the city by the river. " * 3
TREE, PICKY, WORDS = "examples/tree", "examples/picky", "examples/long-things"

RULES: Final[dict[str, Any]] = {
    "min_score": 0.3,
    "long_text": "windows",
    "stride": 4,
    "merge": "mean",
    "explain": "occlusion",
    "explain_max_parts": 4,
    "top_k": 3,
}
THRESHOLDS: Final = {"good": 0.4, "art": 0.2, "ship": 0.9, "bill/fee": 0.1}

INPUTS: Final[list[dict[str, Any]]] = [
    {"model": TREE, "text": LONG},
    {"model": "examples/mood", "text": LONG},
    {"model": "examples/topics", "text": "the late train"},
    {"model": PICKY, "text": "a poor plot"},
    {"model": "examples/rating", "text": LONG},
    {"model": WORDS, "text": LONG},
    {"model": "examples/facts", "question": "who was late", "context": LONG},
    {"model": "examples/causes", "premise": "it was late", "choices": ["the train", "the film"]},
    {"model": "examples/vectors", "text": LONG},
    {"model": TREE, "text": "my card"},
]


@pytest.fixture(scope="module")
def rest(backbone: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rest]:
    folder: Path = tmp_path_factory.mktemp("together")
    fingerprint = backbone.fingerprint
    tree = Decisions(hierarchy=Hierarchy.of_labels(LABELS), min_score=0.35)
    with serving(folder, backbone) as running:
        put(
            running.registry,
            TREE,
            make_prefix(fingerprint, seed=41, labels=LABELS, decisions=tree, max_length=16),
        )
        put(
            running.registry,
            PICKY,
            with_rejection(make_prefix(fingerprint, seed=42), cutoff=1e6),
        )
        things = make_prefix(fingerprint, seed=43, task_type="token_classification", max_length=16)
        put(running.registry, WORDS, things)
        yield running


def predict(rest: Rest, inputs: list[dict[str, Any]], **options: Any) -> list[dict[str, Any]]:
    response = rest.call("POST", "/v1/predict", json={"input": inputs, **options})
    assert response.status_code == 200, response.text
    results: list[dict[str, Any]] = response.json()["results"]
    return results


def alone(rest: Rest, item: dict[str, Any]) -> dict[str, Any]:
    """Send one input with the options that some task of the request must have."""
    labels = {"examples/mood": ("bad", "good"), "examples/topics": ("art",), TREE: LABELS}
    mine = labels.get(item["model"], ())
    options = {"thresholds": {one: THRESHOLDS[one] for one in mine if one in THRESHOLDS}}
    if item["model"] == TREE:
        options["level"] = 1  # type: ignore[assignment]
    (result,) = predict(rest, [item], **RULES, **options)
    return result


def check_equal(found: Any, expected: Any) -> None:
    """Compare nested values, numbers to 1e-5."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            check_equal(found[name], value)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            check_equal(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=1e-5)
    else:
        assert found == expected


def test_a_mixed_request_with_all_options_equals_each_input_alone(rest: Rest) -> None:
    together = predict(rest, INPUTS, **RULES, thresholds=THRESHOLDS, level=1)
    for index, (item, found) in enumerate(zip(INPUTS, together, strict=True)):
        check_equal(found, {**alone(rest, item), "index": index})


def test_each_option_shows_in_the_results_of_its_tasks(rest: Rest) -> None:
    results = predict(rest, INPUTS, **RULES, thresholds=THRESHOLDS, level=1)
    tree, mood, topics, picky, rating, words, _facts, _causes, vectors, _short = results
    assert tree["path"]
    assert tree["usage"]["windows"] > 1
    assert len(tree["explanation"]["parts"]) == 4
    assert mood["usage"]["windows"] > 1
    assert topics["explanation"]["label"] in {"art", "sport", "trade", "war"}
    assert (picky["label"], picky["reason"]) == (None, "out_of_scope")
    assert "abstained" not in rating
    assert words["usage"]["windows"] > 1
    assert all(LONG[one["start"] : one["end"]] == one["word"] for one in words["entities"])
    assert vectors["usage"]["windows"] > 1
    assert sum(x * x for x in vectors["embedding"]) == pytest.approx(1)
