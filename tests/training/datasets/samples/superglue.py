"""SuperGLUE's JSONL of every task, with made-up rows."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from tests.training.datasets.samples.facts import facts
from tests.training.learnable_tasks import write_jsonl

_SIZES: Final = {"train": 12, "validation": 6, "test": 4}
_NAMES: Final = {"train": "train", "validation": "val", "test": "test"}


def _boolq(n: int, noun: str, word: str) -> dict[str, Any]:
    passage = f"the {noun} is {word}"
    return {
        "question": f"is the {noun} good",
        "passage": passage,
        "idx": n,
        "label": word == "good",
    }


def _cb(n: int, noun: str, word: str) -> dict[str, Any]:
    label = ("entailment", "contradiction", "neutral")[n % 3]
    premise = f"the {noun} is {word}"
    return {"premise": premise, "hypothesis": f"the {noun} is good", "label": label, "idx": n}


def _rte(n: int, noun: str, word: str) -> dict[str, Any]:
    label = "entailment" if word == "good" else "not_entailment"
    premise = f"the {noun} is {word}"
    return {"premise": premise, "hypothesis": f"the {noun} is good", "label": label, "idx": n}


def _wic(n: int, noun: str, word: str) -> dict[str, Any]:
    first, second = f"the {noun} is good", f"my {noun} is {word}"
    places = {"start1": 4, "end1": 4 + len(noun), "start2": 3, "end2": 3 + len(noun), "version": 1}
    texts = {"word": noun, "sentence1": first, "sentence2": second}
    return {**texts, "idx": n, "label": word == "good", **places}


def _wsc(n: int, noun: str, word: str) -> dict[str, Any]:
    text = f"the {noun} lost my card and it is {word}"
    target = {"span1_index": 1, "span1_text": noun, "span2_index": 6, "span2_text": "it"}
    return {"idx": n, "label": word == "good", "target": target, "text": text}


def _copa(n: int, noun: str, word: str) -> dict[str, Any]:
    return {
        "premise": f"the {noun} is {word}",
        "choice1": "it is poor",
        "choice2": "it is great",
        "question": "effect" if n % 3 else "cause",
        "label": int(word == "good"),
        "idx": n,
    }


def _multirc(n: int, noun: str, word: str) -> dict[str, Any]:
    answers = [
        {"text": "good", "idx": 2 * n, "label": int(word == "good")},
        {"text": "bad", "idx": 2 * n + 1, "label": int(word == "bad")},
    ]
    question = {"question": f"how is the {noun}", "answers": answers, "idx": n}
    passage = {"text": f"the {noun} is {word}", "questions": [question]}
    return {"version": 1.1, "idx": n, "passage": passage}


def _record(n: int, noun: str, word: str) -> dict[str, Any]:
    text = f"the {noun} is {word}\n@highlight\nthe money is not"
    start, money = 4, text.index("money")
    passage = {
        "text": text,
        "entities": [
            {"start": start, "end": start + len(noun) - 1},
            {"start": money, "end": money + len("money") - 1},
        ],
    }
    right = noun if word == "good" else "money"
    place = start if word == "good" else money
    answers = [{"start": place, "end": place + len(right) - 1, "text": right}]
    query = {"query": f"what is {word} is the @placeholder", "answers": answers, "idx": n}
    return {"source": "made up", "passage": passage, "qas": [query], "idx": n}


Make = Callable[[int, str, str], dict[str, Any]]

SUPERGLUE: Final[Mapping[str, Make]] = {
    "boolq": _boolq,
    "cb": _cb,
    "rte": _rte,
    "wic": _wic,
    "wsc": _wsc,
    "copa": _copa,
    "multirc": _multirc,
    "record": _record,
}
"""Functions that make a labeled row of each task, in the form of its official JSONL."""


def unlabeled(value: Any) -> Any:
    """Take away what test files do not tell: labels, and the answers of a query."""
    if isinstance(value, list):
        return [unlabeled(one) for one in value]
    if not isinstance(value, dict):
        return value
    hidden = {"label", "answers"} if "query" in value else {"label"}
    return {name: unlabeled(one) for name, one in value.items() if name not in hidden}


def write_superglue(folder: Path, task: str) -> Path:
    """Write train, val and test, the last without labels."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, size in _SIZES.items():
        rows = [SUPERGLUE[task](*fact) for fact in facts(size)]
        if part == "test":
            rows = [unlabeled(row) for row in rows]
        write_jsonl(folder / f"{_NAMES[part]}.jsonl", rows)
    return folder
