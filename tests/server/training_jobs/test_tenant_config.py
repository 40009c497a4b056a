import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError

from server.api.training_forms import check_config
from server.api.validation import field_errors
from tests.server.rest import Rest
from training.service.protocol import worker
from training.service.protocol.tenant_config import TenantConfig
from training.settings.config import TrainConfig

FIELDS = set(TenantConfig.model_fields)


def errors_of(config: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the field and the message of each error, as a client reads them."""
    try:
        check_config(config)
    except RequestValidationError as error:
        return [(one["field"], one["message"]) for one in field_errors(error)]
    return []


@pytest.mark.parametrize(
    ("config", "place", "words"),
    [
        ({"learning_rat": 0.1}, "learning_rat", "did you mean 'learning_rate'"),
        ({"learning_rate": "fast"}, "learning_rate", 'expected a number; found "fast"'),
        ({"learning_rate": "0.1"}, "learning_rate", 'expected a number; found "0.1"'),
        ({"learning_rate": 0}, "learning_rate", "must be greater than 0; found 0"),
        ({"epochs": True}, "epochs", "expected a number; found true"),
        ({"epochs": 1e300}, "epochs", "less than or equal to 1000000; found 1e+300"),
        ({"seed": 1.0}, "seed", "expected a whole number; found 1.0"),
        ({"batch_size": 100_000}, "batch_size", "less than or equal to 512; found 100000"),
        ({"projection_size": 5000}, "projection_size", "less than or equal to 4096"),
        ({"position_offset": 1025}, "position_offset", "less than or equal to 1024"),
        ({"stride": 100_001}, "stride", "less than or equal to 100000; found 100001"),
        ({"max_steps": 0}, "max_steps", "greater than or equal to 1; found 0"),
        ({"task_type": "poetry"}, "task_type", "'embedding'; found \"poetry\""),
        ({"method": "full"}, "method", "'prefix', 'vectors', 'prompt', 'head' or 'few_shot'"),
        ({"teacher": "/srv/models/mine"}, "teacher", "'full'; found \"/srv/models/mine\""),
        ({"teacher_weight": 2}, "teacher_weight", "less than or equal to 1; found 2"),
        ({"labels": ["a", "b"], "label_descriptions": {"a": ""}}, "label_descriptions.a", "1 char"),
        ({"labels": "good"}, "labels", 'expected a list; found "good"'),
        ({"labels": ["good", 1]}, "labels[1]", "expected a text; found 1"),
        ({"labels": ["a", ""]}, "labels[1]", "at least 1 character"),
        ({"labels": ["a", "b" * 201]}, "labels[1]", "at most 200 characters"),
        ({"threshold": 0.5}, "threshold", "expected a text; found 0.5"),
        ({"hierarchy": "auto"}, "hierarchy", "'labels'; found \"auto\""),
        ({"hierarchy": ["a"]}, "hierarchy", "an object with the parent of each label"),
        ({"hierarchy": {"a": 1}}, "hierarchy.a", "expected a text; found 1"),
        ({"description": "x" * 2001}, "description", "at most 2000 characters"),
        ({"train": "/etc/passwd"}, "train", "is not a setting of a training"),
        ({"task": "zoo/secret"}, "task", "is not a setting of a training"),
        (
            {"initialization": "noise", "initialisation": "noise"},
            *("initialisation", "is not a setting"),
        ),
    ],
)
def test_an_invalid_field_is_named_with_what_was_expected_and_found(
    config: dict[str, Any], place: str, words: str
) -> None:
    ((field, message),) = errors_of(config)
    assert field == f"config.{place}"
    assert words in message


@pytest.mark.parametrize("name", ["weight_decay", "learning_rate", "epochs"])
def test_an_infinite_number_is_rejected(name: str) -> None:
    ((field, message),) = errors_of({name: float("inf")})
    assert field == f"config.{name}"
    assert "finite number" in message


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"method": "head", "prefix_length": 4}, "prefix_length applies only to a prefix"),
        ({"task_type": "embedding", "problem_type": "regression"}, "sequence_classification"),
        ({"pair_template": "{text_b}"}, "needs template"),
        ({"select_by": "mrr"}, "accuracy"),
        ({"labels": ["a", "b", "a"]}, "'a'"),
        ({"labels": ["a"]}, "at least two"),
        ({"labels": []}, "at least one"),
        ({"template": "{model}: {text}"}, "'model'"),
        ({"template": "{text}", "pair_template": "{model}"}, "'model'"),
        ({"task_type": "question_answering", "stride": 100_000, "labels": ["a"]}, "labels"),
    ],
)
def test_fields_that_contradict_each_other_are_rejected_before_a_worker_starts(
    config: dict[str, Any], words: str
) -> None:
    ((field, message),) = errors_of(config)
    assert field == "config"
    assert words in message


def test_a_form_with_such_fields_is_rejected_at_once(rest: Rest) -> None:
    form = {"task": "mood", "config": '{"method": "head", "prefix_length": 4}'}
    files = {"file": ("rows.csv", b"text,label\r\nfine,good\r\n")}
    path = "/v1/tenants/acme/trainings"
    rejected = rest.call("POST", path, "acme", data=form, files=files)
    assert rejected.status_code == 422
    (error,) = rejected.json()["errors"]
    assert error["field"] == "config"
    assert "remove it" in error["message"]
    assert rest.call("GET", path, "acme").json()["trainings"] == []


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "unlabeled rows need a teacher that answers them"),
        (
            {"teacher": "full", "problem_type": "multi_label_classification"},
            "a teacher is not yet possible for this task",
        ),
    ],
)
def test_unlabeled_rows_without_a_teacher_that_fits_are_rejected_at_once(
    rest: Rest, config: dict[str, Any], message: str
) -> None:
    rows = ("rows.csv", b"text,label\r\nfine,good\r\n")
    files = {"file": rows, "unlabeled": ("more.csv", b"text\r\nfine\r\n")}
    form = {"task": "mood", "config": json.dumps(config)}
    rejected = rest.call("POST", "/v1/tenants/acme/trainings", "acme", data=form, files=files)
    assert rejected.status_code == 422
    assert message in rejected.json()["errors"][0]["message"]


def test_a_form_without_a_task_is_rejected_by_the_name_of_the_field(rest: Rest) -> None:
    files = {"file": ("rows.csv", b"text,label\r\nfine,good\r\n")}
    rejected = rest.call("POST", "/v1/tenants/acme/trainings", "acme", files=files)
    assert (rejected.status_code, rejected.json()["code"]) == (422, "bad_upload")
    assert "The form has no `task`." in rejected.json()["detail"]


@pytest.fixture
def no_packages(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No package is installed, as far as `missing_extras` can see."""
    monkeypatch.setattr(worker, "find_spec", lambda _: None)
    worker.missing_extras.cache_clear()
    yield
    worker.missing_extras.cache_clear()


@pytest.mark.usefixtures("no_packages")
def test_parquet_is_rejected_where_the_package_that_reads_it_is_missing(
    rest: Rest,
) -> None:
    files = {"file": ("rows.parquet", b"PAR1")}
    path = "/v1/tenants/acme/trainings"
    rejected = rest.call("POST", path, "acme", data={"task": "mood"}, files=files)
    assert rejected.json()["code"] == "bad_upload"
    assert "polyprefix[data]" in rejected.json()["detail"]


def test_the_defaults_of_all_fields_are_valid() -> None:
    config = TrainConfig(task="acme/mood", train="rows.csv").model_dump(mode="json")
    assert errors_of({name: config[name] for name in FIELDS}) == []


def test_a_former_name_of_a_field_is_accepted() -> None:
    assert errors_of({"initialisation": "noise"}) == []


def test_no_field_names_a_file() -> None:
    schema = TenantConfig.model_json_schema()
    assert not [name for name, one in schema["properties"].items() if "path" in str(one)]
    assert FIELDS.isdisjoint({"task", "variant", "dataset", "train", "validation", "test"})
    assert "start_from" not in FIELDS


def test_the_openapi_document_describes_the_fields(rest: Rest) -> None:
    document = rest.call("GET", "/openapi.json").json()
    body = document["paths"]["/v1/tenants/{tenant}/trainings"]["post"]["requestBody"]
    form = body["content"]["multipart/form-data"]["schema"]["properties"]
    assert form["config"]["contentSchema"]["properties"].keys() == FIELDS
    assert form["config"]["contentSchema"]["properties"]["batch_size"]["maximum"] == 512
