"""Rows of the sets in a folder, as dictionaries, and rows made from them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

Row = Mapping[str, Any]
Rows = Sequence[Row]

_BY_TASK: Final[Mapping[str, Mapping[str, Any]]] = {
    "token": {"task_type": "token_classification"},
    "extractive_qa": {"task_type": "question_answering"},
    "multiple_choice": {"task_type": "multiple_choice"},
}
"""The settings of a training by the `task` in a set's `labels.json`."""


def task_settings(folder: Path) -> dict[str, Any]:
    """Return the task type and the labels of a set, as settings of a training."""
    about = json.loads((folder / "labels.json").read_text("utf-8"))
    settings = dict(_BY_TASK.get(about["task"], {}))
    if about["task"] not in {"extractive_qa", "multiple_choice"}:
        settings["labels"] = tuple(about["labels"])
    return settings


def labels_of(folder: Path) -> list[str]:
    """Return the labels of a set, in the order of its `labels.json`."""
    labels: list[str] = json.loads((folder / "labels.json").read_text("utf-8"))["labels"]
    return labels


def read_rows(path: Path) -> list[Row]:
    """Read a file of JSON lines."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def write_rows(rows: Iterable[Row], path: Path) -> Path:
    """Write a file of JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def entity_types(tags: Iterable[str]) -> list[str]:
    """Return the types of entities in IOB tags, in the order of their first tag."""
    return list(dict.fromkeys(tag.partition("-")[2] for tag in tags if tag != "O"))


def with_entity_types(rows: Rows) -> list[Row]:
    """Label each text of tagged tokens with the types of its entities."""
    return [{"text": " ".join(row["tokens"]), "label": entity_types(row["tags"])} for row in rows]
