"""Lessons: the answers of a teacher to the rows of a task."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from prefixes.atomic import write_atomically

Logits = NDArray[np.float32]

_FACTS: Final = "teacher"


@dataclass(frozen=True, slots=True)
class TeacherFacts:
    """The facts of a teacher that reports and files record.

    `name` is `full`, or the name of its folder, whose weights have the digest `sha256`.
    `architecture` is its class in transformers. `validation` has its metrics of the validation
    rows.
    """

    name: str
    architecture: str
    sha256: str | None
    validation: Mapping[str, float]
    num_unlabeled_rows: int

    @property
    def facts(self) -> dict[str, JsonValue]:
        """Return the facts for the provenance of a prefix and for the report."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class Lessons:
    """The logits `[n, C]` of a teacher for the training rows, and for the unlabeled rows."""

    teacher: TeacherFacts
    labeled: Logits
    unlabeled: Logits

    def save(self, path: Path) -> None:
        """Write the lessons to a file.

        Raises:
            StoreUnavailable: when it cannot be written.
        """
        tensors = {"labeled": self.labeled, "unlabeled": self.unlabeled}
        write_atomically(path, save(tensors, {_FACTS: json.dumps(self.teacher.facts)}))

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """Read lessons; None if there is no such file, or it is damaged."""
        try:
            with safe_open(path, "numpy") as file:
                facts: dict[str, Any] = json.loads(file.metadata()[_FACTS])
                labeled, unlabeled = (file.get_tensor(name) for name in ("labeled", "unlabeled"))
        except (FileNotFoundError, SafetensorError):
            return None
        return cls(TeacherFacts(**facts), labeled, unlabeled)
