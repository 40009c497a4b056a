"""The sets of `bench.few_rows`: their rows, the draws of rows, and the features of all."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bench.labeled_rows import entity_types, labels_of, read_rows, with_entity_types, write_rows
from prefixes import PrefixSpec
from prefixes.backbone import Backbone
from prefixes.spec import ProblemType
from training.data.encoding import encode_rows
from training.data.few_rows import load_few_rows
from training.few_shot.features import Features, features_of
from training.few_shot.fit import encode_names
from training.learning.learner import describe
from training.settings.config import TrainConfig

DESCRIBED: Final = "trec, described"
TYPES: Final = ("conll04, types", "mit_movie, types")
"""Sets of several labels per text: the types of entities that occur in it."""
TASKS: Final = ("ag_news", "banking77", "trec", "tweeteval_emotion", DESCRIBED, *TYPES)
_DESCRIPTIONS: Final = {
    "ABBR": "abbreviation",
    "DESC": "description and abstract concepts",
    "ENTY": "entities",
    "HUM": "human beings",
    "LOC": "locations",
    "NUM": "numeric values",
}
"""The names of the classes in Li and Roth, "Learning Question Classifiers" (2002)."""
_DEVELOPMENT_ROWS: Final = 1000
_TOKENS_PER_BATCH: Final = 8192

Ints = NDArray[np.int64]


class DataSet:
    """The rows of a set. Features are computed once for all draws."""

    def __init__(self, name: str, data: Path, backbone: Backbone) -> None:
        folder = data / name.partition(",")[0]
        self.has_several = name in TYPES
        self.labels = labels_of(folder)
        files = {part: folder / f"{part}.jsonl" for part in ("train", "test")}
        self.problem_type: ProblemType = "single_label_classification"
        if self.has_several:
            self._scratch = tempfile.TemporaryDirectory()
            self.labels = entity_types(self.labels)
            files = {part: self._with_types(path) for part, path in files.items()}
            self.problem_type = "multi_label_classification"
        descriptions = _DESCRIPTIONS if name == DESCRIBED else None
        self.config = TrainConfig.model_validate(
            {
                "task": f"bench/{folder.name.replace('_', '-')}",
                "method": "few_shot",
                "labels": self.labels,
                "label_descriptions": descriptions,
                "problem_type": self.problem_type,
                **files,
            }
        )
        rows = load_few_rows(self.config)
        assert rows.test is not None
        self.parts = {"train": rows.train, "test": rows.test}
        self.truths = {
            part: np.array(examples.truths, np.int64) for part, examples in self.parts.items()
        }
        self._backbone = backbone
        self._spec: PrefixSpec = describe(self.config, rows, backbone)
        encoded = encode_names(backbone, self._spec, descriptions)
        self.names = self._features([text for (text,) in encoded])
        self._known: dict[tuple[str, int], NDArray[Any]] = {}

    def split(self, rows: int, seed: int, part: str) -> tuple[Ints, Ints]:
        """Draw rows of each label to learn from, and return them and those to measure on."""
        truths = self.truths["train"]
        flags = truths if self.has_several else np.eye(len(self.labels), dtype=np.int64)[truths]
        order = np.random.default_rng(seed).permutation(len(truths))
        learned = first_of_each(flags, order, rows)
        if part == "test":
            return learned, np.arange(len(self.truths["test"]))
        others = order[~np.isin(order, learned)]
        return learned, others[:_DEVELOPMENT_ROWS]

    def features(self, part: str, rows: Ints) -> Features:
        """Return the features `[n, hidden]` of n rows of a part."""
        missing = [row for row in rows.tolist() if (part, row) not in self._known]
        if missing:
            encoded = encode_rows(self._backbone, self._spec, self.parts[part].take(missing))
            found = self._features(list(encoded.texts))
            self._known |= {(part, row): one for row, one in zip(missing, found, strict=True)}
        empty = np.empty((0, self.names.shape[1]))
        return np.stack([self._known[part, row] for row in rows.tolist()]) if len(rows) else empty

    def _with_types(self, path: Path) -> Path:
        return write_rows(with_entity_types(read_rows(path)), Path(self._scratch.name) / path.name)

    def _features(self, texts: Sequence[Any]) -> Features:
        return features_of(
            self._backbone,
            self._spec.head,
            texts,
            tokens_per_batch=_TOKENS_PER_BATCH,
            report=None,
        )


def first_of_each(flags: Ints, order: Ints, number: int) -> Ints:
    """Return the first rows of an order that give each label a number of rows.

    A row with several labels counts for all of them, so labels may have more rows.

    Args:
        flags: the labels of n rows, `[n, C]`.
        order: row numbers, `[n]`.
        number: number of rows for each label.
    """
    chosen: list[int] = []
    counts = np.zeros(flags.shape[1], np.int64)
    for row in order.tolist():
        if (flags[row] > 0)[counts < number].any():
            chosen.append(row)
            counts += flags[row]
    return np.array(chosen, np.int64)
