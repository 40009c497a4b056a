"""SQuAD 1.1 and 2.0: questions about paragraphs, with or without answers."""

from collections.abc import Iterable
from types import MappingProxyType
from typing import Any, Final

from training.datasets.dataset import Columns, Dataset, Form, Hub
from training.datasets.text_files import squad_json


def _question(columns: Columns) -> Iterable[Columns]:
    """Strip leading white space. Some questions of the dataset consist of nothing else."""
    question = columns["question"]
    stripped = question.lstrip() if isinstance(question, str) else question
    return [{**columns, "question": stripped}]


def _squad(name: str, version: str, hub: str, **fields: Any) -> Dataset:
    return Dataset(
        name=f"qa/{name}",
        task_type="question_answering",
        forms=(Form(("question", "context"), _question),),
        splits=MappingProxyType({"train": "train", "validation": "validation"}),
        files={
            "train": (f"train-{version}.json", "train.json", "train.jsonl"),
            "validation": (f"dev-{version}.json", "dev.json", "validation.jsonl"),
            "test": ("test.json", "test.jsonl"),
        },
        fields=fields,
        hub=Hub(hub),
        readers=MappingProxyType({".json": squad_json()}),
        label="answers",
    )


ANSWERING: Final = (
    _squad("squad", "v1.1", "rajpurkar/squad"),
    _squad("squad_v2", "v2.0", "rajpurkar/squad_v2", null_threshold=0.0),
)
