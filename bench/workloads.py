"""Workloads: real texts, their tokens, and the task of each."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tokenizers import Tokenizer

ROOT: Final = Path(__file__).resolve().parents[1]
FOLDERS: Final = (ROOT.parent / "shared" / "data", ROOT / "examples" / "data")
"""Folders of labeled texts: a larger collection next to this checkout, or the examples."""

SETS: Final = (
    "ag_news",
    "banking",
    "banking77",
    "clinc150",
    "intents",
    "sms_spam",
    "spam",
    "sst2",
    "trec",
    "tweeteval_emotion",
)
SHORT: Final = range(14, 27)
"""Numbers of tokens of a short text: twenty on average, including two special tokens."""

ALL_LENGTHS: Final = "all lengths"
SHORT_TEXTS: Final = "short texts"

MAX_TOKENS: Final = 256


@dataclass(frozen=True, slots=True)
class Workload:
    """N texts with their tokens; `uniform` and `zipf` are the numbers of their tasks."""

    name: str
    texts: tuple[str, ...]
    tokens: tuple[list[int], ...]
    uniform: tuple[int, ...]
    zipf: tuple[int, ...]

    def take(self, count: int) -> "Workload":
        """Return the first `count` texts."""
        return Workload(
            self.name,
            self.texts[:count],
            self.tokens[:count],
            self.uniform[:count],
            self.zipf[:count],
        )

    def tokens_per_batch(self, batch: int) -> list[int]:
        """Return the number of tokens of each batch, in the order of arrival."""
        starts = range(0, len(self.tokens), batch)
        return [sum(map(len, self.tokens[start : start + batch])) for start in starts]


def make_workloads(folder: Path, count: int, num_tasks: int) -> tuple[Workload, Workload]:
    """Draw `count` texts of all lengths, and as many short ones; tokenize them."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    texts = _texts()
    tokens = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    short = [place for place, ids in enumerate(tokens) if len(ids) in SHORT]
    return (
        _draw(ALL_LENGTHS, texts, tokens, range(len(texts)), count=count, num_tasks=num_tasks),
        _draw(SHORT_TEXTS, texts, tokens, short, count=count, num_tasks=num_tasks),
    )


def zipf_tasks(rng: random.Random, num_tasks: int, count: int) -> list[int]:
    """Draw tasks with a weight of 1 / r for the task at rank r."""
    weights = [1 / rank for rank in range(1, num_tasks + 1)]
    return rng.choices(range(num_tasks), weights, k=count)


def _draw(
    name: str,
    texts: Sequence[str],
    tokens: Sequence[list[int]],
    places: Sequence[int],
    *,
    count: int,
    num_tasks: int,
) -> Workload:
    rng = random.Random(0)  # noqa: S311 - a benchmark, no secret
    drawn = rng.choices(places, k=count)
    return Workload(
        name=name,
        texts=tuple(texts[place] for place in drawn),
        tokens=tuple(tokens[place] for place in drawn),
        uniform=tuple(rng.choices(range(num_tasks), k=count)),
        zipf=tuple(zipf_tasks(rng, num_tasks, count)),
    )


def _texts() -> list[str]:
    """Read up to a thousand texts of every set from the first folder that exists."""
    found = next(folder for folder in FOLDERS if folder.is_dir())
    files = [found / name / "train.jsonl" for name in SETS if (found / name).is_dir()]
    texts: list[str] = []
    for file in files:
        lines = file.read_text(encoding="utf-8").splitlines()
        rng = random.Random(0)  # noqa: S311 - as above
        texts += [json.loads(line)["text"] for line in rng.sample(lines, min(1000, len(lines)))]
    return texts
