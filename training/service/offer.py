"""What a server needs to know of trainings that its tenants may ask for; imports no torch.

The composition root hands it over, for the server does not import this package.
"""

import sys
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Final, get_args

from pydantic import ValidationError

from prefixes.spec import Method
from training.settings.config import TrainConfig
from training.settings.former_names import FORMER_NAMES

COMMAND: Final = (sys.executable, "-P", "-m", "training.service.worker")
"""What runs one training, with the name of its folder behind it."""

_FIELDS: Final = (
    "task_type", "method", "validation_fraction", "max_rows", "text_column", "pair_column",
    "label_column", "label_separator", "label_columns", "labels", "problem_type", "template",
    "pair_template", "snap_to_words", "special_tokens",
    "stride", "max_answer_tokens", "description", "prefix_length", "projection_size",
    "initialization", "position_offset", "max_length", "pooling", "normalize", "head_activation",
    "learning_rate", "head_learning_rate", "schedule", "warmup", "weight_decay",
    "max_gradient_norm", "prefix_dropout", "feature_dropout", "batch_size",
    "gradient_accumulation", "epochs", "min_steps", "max_steps", "evaluate_every", "patience",
    "select_by", "seed", "class_weights", "label_smoothing", "averaging", "file_dtype",
    "golden_examples", "golden_inputs",
)  # fmt: skip
"""What a tenant may set. Named one by one, so that a new field, which may name a file of the
server's machine, is withheld until somebody has thought about it."""

SUFFIXES: Final = (".csv", ".json", ".jsonl", ".tsv", ".parquet", ".conll", ".txt")
"""How names of files of labelled rows that a server takes may end, where nothing is `lacking`."""

_BOUNDS: Final = {"batch_size": 512, "gradient_accumulation": 64, "projection_size": 4096}
"""Most that a tenant may ask for, where `TrainConfig` has no bound and memory depends on it."""


def lacking() -> dict[str, str]:
    """Say which of the `SUFFIXES` cannot be read here, and what they need."""
    if find_spec("datasets") is not None:
        return {}
    return {".parquet": "the server's extra `data`, as in pip install 'polyprefix[data]'"}


def problems(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Hold all settings that a tenant has chosen together: the field, or "" for several, and why.

    Those that the server chooses, such as the files, go with any of them.
    """
    try:
        TrainConfig.model_validate({**config, "task": "tenant/task", "train": "train.csv"})
    except ValidationError as error:
        return [
            (".".join(map(str, found["loc"])), found["msg"].removeprefix("Value error, "))
            for found in error.errors(include_url=False, include_context=False)
        ]
    return []


def fields() -> dict[str, Any]:
    """Describe the fields that a tenant may set: a JSON schema for each."""
    schema = TrainConfig.model_json_schema()["properties"]
    chosen = {name: dict(schema[name]) for name in _FIELDS}
    for former, current in FORMER_NAMES.items():
        chosen[former] = {**chosen[current], "deprecated": True}
    # A whole model is no prefix: a server could not serve it.
    chosen["method"]["enum"] = list(get_args(Method))
    for name, most in _BOUNDS.items():
        numbers = [chosen[name], *chosen[name].get("anyOf", ())]
        for one in numbers:
            if one.get("type") == "integer":
                one["maximum"] = most
    return chosen
