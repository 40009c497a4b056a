"""GLUE's nine tasks, as TSV of the benchmark or in the columns of the hub."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from training.datasets.dataset import Dataset, Form, Hub, Template, renamed
from training.datasets.text_files import glue_tsv

_HUB: Final = "nyu-mll/glue"
_SPLITS: Final = MappingProxyType({"train": "train", "validation": "validation", "test": "test"})
_MATCHED: Final = MappingProxyType(
    {"train": "train", "validation": "validation_matched", "test": "test_matched"}
)
_READERS: Final = MappingProxyType({".tsv": glue_tsv()})
_ENTAILMENT: Final = ("entailment", "not_entailment")
_PLAIN: Final = ("text_a", "text_b")


def _files(splits: Mapping[str, str]) -> Mapping[str, tuple[str, ...]]:
    """Return the file names of each part. The benchmark says dev, the hub says validation."""
    names = {
        part: [split.replace("validation", "dev"), split, part] for part, split in splits.items()
    }
    return {
        part: tuple(f"{stem}.{suffix}" for stem in dict.fromkeys(stems) for suffix in _SUFFIXES)
        for part, stems in names.items()
    }


_SUFFIXES: Final = ("tsv", "jsonl", "csv")


def _glue(
    name: str,
    columns: tuple[str, ...],
    labels: tuple[str, ...] | None,
    *forms: Form,
    splits: Mapping[str, str] = _SPLITS,
    **fields: Any,
) -> Dataset:
    """Describe a task whose texts are `columns` on the hub, after `forms` of the benchmark."""
    plain = _PLAIN if len(columns) == 2 else ("text",)
    usual = (
        Form(columns, renamed()),
        Form(plain, renamed(**dict(zip(columns, plain, strict=True)))),
    )
    problem_type = "single_label_classification" if labels else "regression"
    return Dataset(
        name=f"glue/{name}",
        task_type="sequence_classification",
        forms=(*forms, *usual),
        splits=splits,
        files=_files(splits),
        fields={"problem_type": problem_type, **fields},
        templates=(Template(*(f"{{{column}}}" for column in columns)),),
        hub=Hub(_HUB, name),
        readers=_READERS,
        labels=labels,
    )


_SENTENCES: Final = ("sentence1", "sentence2")

GLUE: Final = (
    _glue("cola", ("sentence",), ("unacceptable", "acceptable"), select_by="matthews"),
    _glue(
        "mnli",
        ("premise", "hypothesis"),
        ("entailment", "neutral", "contradiction"),
        Form(
            (*_SENTENCES, "gold_label"),
            renamed(premise="sentence1", hypothesis="sentence2", label="gold_label"),
        ),
        Form(_SENTENCES, renamed(premise="sentence1", hypothesis="sentence2")),
        splits=_MATCHED,
    ),
    _glue(
        "mrpc",
        _SENTENCES,
        ("not_equivalent", "equivalent"),
        Form(
            ("#1 String", "#2 String"),
            renamed(sentence1="#1 String", sentence2="#2 String", label="Quality"),
        ),
    ),
    _glue("qnli", ("question", "sentence"), _ENTAILMENT),
    _glue(
        "qqp",
        ("question1", "question2"),
        ("not_duplicate", "duplicate"),
        Form(("question1", "question2", "is_duplicate"), renamed(label="is_duplicate")),
    ),
    _glue("rte", _SENTENCES, _ENTAILMENT),
    _glue("sst2", ("sentence",), ("negative", "positive")),
    _glue(
        "stsb",
        _SENTENCES,
        None,
        Form((*_SENTENCES, "score"), renamed(label="score")),
        select_by="pearson",
    ),
    _glue("wnli", _SENTENCES, ("not_entailment", "entailment")),
)
