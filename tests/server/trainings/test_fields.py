from typing import Any

import pytest

from server.trainings.fields import problems_of
from training import service
from training.config import TrainConfig

FIELDS = service.fields()


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


def test_the_defaults_of_all_fields_are_taken() -> None:
    config = TrainConfig(task="acme/mood", train="rows.csv").model_dump(mode="json")
    assert not list(problems_of({name: config[name] for name in FIELDS}, FIELDS))


def test_no_field_that_may_be_set_names_a_file() -> None:
    assert not [name for name, schema in FIELDS.items() if "path" in str(schema.get("format"))]
    assert FIELDS.keys().isdisjoint({"task", "variant", "train", "validation", "test"})
