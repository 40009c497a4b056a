from dataclasses import replace
from typing import Any

import pytest

from server.api.training_forms import _stored_name
from server.errors import BadUpload
from server.training_jobs.fields import problems_of
from tests.server.rest import TRAINER, Rest
from training.service import offer
from training.settings.config import TrainConfig

FIELDS = offer.fields()


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({"learning_rat": 0.1}, "learning_rate"),
        ({"learning_rate": "fast"}, "number"),
        ({"learning_rate": 0}, "more than 0"),
        ({"epochs": True}, "number"),
        ({"batch_size": 100_000}, "at most 512"),
        ({"max_steps": 0}, "at least 1"),
        ({"task_type": "poetry"}, "embedding"),
        ({"labels": "good"}, "array"),
        ({"labels": ["good", 1]}, "string"),
        ({"train": "/etc/passwd"}, "no field"),
        ({"task": "zoo/secret"}, "no field"),
    ],
)
def test_a_field_that_cannot_be_is_named_with_what_was_expected(
    config: dict[str, Any], word: str
) -> None:
    ((name, message),) = problems_of(config, FIELDS)
    assert name == next(iter(config))
    assert word in message


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({"method": "head", "prefix_length": 4}, "prefix_length applies only to a prefix"),
        ({"task_type": "embedding", "problem_type": "regression"}, "sequence_classification"),
        ({"pair_template": "{text_b}"}, "needs template"),
        ({"select_by": "mrr"}, "accuracy"),
    ],
)
def test_fields_that_do_not_go_together_are_told_before_a_worker_starts(
    config: dict[str, Any], word: str
) -> None:
    assert not list(problems_of(config, FIELDS))
    ((name, message),) = offer.problems(config)
    assert name == ""
    assert word in message


def test_a_form_with_such_fields_is_refused_at_once(rest: Rest) -> None:
    form = {"task": "mood", "config": '{"method": "head", "prefix_length": 4}'}
    files = {"file": ("rows.csv", b"text,label\r\nfine,good\r\n")}
    path = "/v1/tenants/acme/trainings"
    refused = rest.call("POST", path, "acme", data=form, files=files)
    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert error["field"] == "config"
    assert "remove it" in error["message"]
    assert rest.call("GET", path, "acme").json()["trainings"] == []


def test_parquet_is_refused_where_the_package_that_reads_it_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert _stored_name("file", "rows.parquet", TRAINER) == "train.parquet"
    monkeypatch.setattr(offer, "find_spec", lambda _: None)
    with pytest.raises(BadUpload, match=r"\.parquet file, which needs .*polyprefix\[data\]"):
        _stored_name("file", "rows.parquet", replace(TRAINER, lacking=offer.lacking()))


def test_the_defaults_of_all_fields_are_taken() -> None:
    config = TrainConfig(task="acme/mood", train="rows.csv").model_dump(mode="json")
    chosen = {name: config[name] for name in FIELDS if name in config}
    assert not list(problems_of(chosen, FIELDS))
    assert not offer.problems(chosen)


def test_no_field_that_may_be_set_names_a_file() -> None:
    assert not [name for name, schema in FIELDS.items() if "path" in str(schema.get("format"))]
    assert FIELDS.keys().isdisjoint({"task", "variant", "train", "validation", "test"})


@pytest.mark.parametrize("name", ["weight_decay", "learning_rate", "epochs"])
def test_an_infinite_number_is_refused(name: str) -> None:
    ((found, message),) = problems_of({name: float("inf")}, FIELDS)
    assert found == name
    assert "number" in message
    assert offer.problems({name: float("inf")})


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"labels": ["a", "b", "a"]}, "'a' occurs more than once"),
        ({"labels": ["a"]}, "at least two"),
        ({"labels": []}, "at least one"),
        ({"labels": ["a", ""]}, "at least 1 character"),
        ({"labels": ["a", "b" * 201]}, "at most 200 characters"),
        ({"template": "{model}: {text}"}, "'model'"),
        ({"template": "{text}", "pair_template": "{model}"}, "'model'"),
        ({"description": "x" * 2001}, "at most 2000 characters"),
        ({"position_offset": 1025}, "1024"),
        ({"epochs": 1e300}, "1000000"),
        ({"task_type": "question_answering", "stride": 100_001}, "100000"),
    ],
)
def test_what_could_not_be_trained_or_asked_is_refused_at_once(
    config: dict[str, Any], words: str
) -> None:
    assert any(words in message for _, message in offer.problems(config)), offer.problems(config)
