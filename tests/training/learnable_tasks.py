"""Small learnable tasks in files, and what trains them."""

import csv
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from prefixes.backbone import Backbone, Streams
from training.data.parts import load_task
from training.learning.loop import take_step, train
from training.learning.run import Run
from training.settings.config import TrainConfig

NOUNS = ("film", "plot", "card", "train", "city", "river", "book")
PRAISE, BLAME = ("good", "great"), ("bad", "poor")


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def sentiment_rows(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """A single label: what the text says of its noun."""
    rng = np.random.default_rng(seed)
    return [
        {
            "text": f"the {rng.choice(NOUNS)} is {rng.choice(PRAISE if is_good else BLAME)}",
            "label": "good" if is_good else "bad",
        }
        for is_good in rng.random(count) < 0.5
    ]


def topic_rows(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Several labels, or none: the topics that the text names."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        topics = [topic for topic in ("book", "money", "prize") if rng.random() < 0.5]
        rows.append({"text": " ".join(["the", *topics, "now"]), "label": topics})
    return rows


def count_rows(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """A regression: a hundred and ten for every `great` in five words."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        words = rng.choice(["great", "poor"], 5)
        score = 100 + 10 * int((words == "great").sum())
        rows.append({"text": " ".join(words), "label": score})
    return rows


def pair_rows(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Pairs: whether the second text denies."""
    rng = np.random.default_rng(seed)
    return [
        {
            "text_a": f"the {rng.choice(NOUNS)} is late",
            "text_b": "it is not" if denies else "it is",
            "label": int(denies),
        }
        for denies in rng.random(count) < 0.5
    ]


def tagged_rows(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Tokens with tags: what the text is about, and one or two words of praise."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        praise = ["very", str(rng.choice(PRAISE))] if rng.random() < 0.5 else ["great"]
        rows.append(
            {
                "tokens": ["the", str(rng.choice(NOUNS)), "is", *praise, "now"],
                "tags": ["O", "B-topic", "O", "B-praise", *["I-praise"] * (len(praise) - 1), "O"],
            }
        )
    return rows


def question_rows(count: int, *, seed: int = 0, num_words: int = 8) -> list[dict[str, Any]]:
    """Questions whose answer is the one word of a context that is not a noun."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        words = [str(word) for word in rng.choice(NOUNS, num_words)]
        answer = str(rng.choice(["money", "prize"]))
        words[int(rng.integers(num_words))] = answer
        context = " ".join(words)
        answers = {"text": [answer], "answer_start": [context.index(answer)]}
        rows.append({"question": "what is it", "context": context, "answers": answers})
    return rows


def choice_rows(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Two or three choices, of which the right one praises."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        choices = [f"it is {rng.choice(BLAME)}" for _ in range(rng.integers(2, 4))]
        right = int(rng.integers(len(choices)))
        choices[right] = f"it is {rng.choice(PRAISE)}"
        text = f"the {rng.choice(NOUNS)}"
        rows.append({"text": text, "choices": choices, "label": str(right)})
    return rows


def partner_rows(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Texts that belong together: two words of one are those of the other."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        noun, word = rng.choice(NOUNS), rng.choice(["lost", "late", "free", "now"])
        rows.append({"text": f"the {noun} is {word}", "positive": f"my {word} and very {noun}"})
    return rows


ROWS_OF: Mapping[str, Callable[[int], list[dict[str, Any]]]] = {
    "sequence_classification": sentiment_rows,
    "multiple_choice": choice_rows,
    "token_classification": tagged_rows,
    "question_answering": question_rows,
    "embedding": partner_rows,
}
"""Rows that can be learned, by type of task."""


def make_config(path: Path, **changes: Any) -> TrainConfig:
    """A short training that learns fast; `changes` are fields of the configuration."""
    fields: dict[str, Any] = {
        "task": "acme/task",
        "train": path,
        "method": "prefix",
        "prefix_length": 4,
        "max_length": 32,
        "learning_rate": 0.05,
        "head_learning_rate": 0.05,
        "feature_dropout": 0.0,
        "batch_size": 8,
        "epochs": 4,
        "min_steps": 1,
        "initialization": "noise",  # a backbone of random weights has nothing to begin with
    }
    return TrainConfig(**{**fields, **changes})


def start(backbone: Backbone, config: TrainConfig) -> Run:
    return Run.start(config, load_task(config), backbone)


def train_all(backbone: Backbone, runs: Sequence[Run], *, tokens_per_batch: int = 4096) -> None:
    train(backbone, runs, tokens_per_batch=tokens_per_batch, after_step=lambda _: None)


def step_all(backbone: Backbone, runs: Sequence[Run]) -> None:
    """Let every run take one step."""
    with Streams.on(backbone.device) as streams:
        take_step(backbone, runs, tokens_per_batch=4096, streams=streams)
