"""The scores of runs in a file, and their summary."""

import json
import math
import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch

from bench import origin
from bench.figures import Bound, Figure
from training.settings.train_settings import TrainSettings

DEFAULT: Final[str] = TrainSettings.model_fields["method"].default
"""The default method of trainings, for which bounds are set."""

_OURS: Final = (DEFAULT, "prefix")
_METHODS: Final = (*_OURS, "few_shot", "fine-tuning", "PEFT")

_MAX_GAP: Final = 0.01
_MAX_GAPS: Final = {"wnut17": 0.02, "mit_movie": 0.02, "squad_small": 0.02, "copa": 0.03}
"""Maximum deficit of the default compared with full fine-tuning, by set. Where no set is named, it
is `_MAX_GAP`."""


@dataclass(frozen=True, slots=True)
class Score:
    """The result of one run: its figures by metric, on validation and on test rows.

    `settings` are the tried settings of the method. `chosen_by` is the metric that chooses the best
    step and the best settings.
    """

    task: str
    method: str
    settings: Mapping[str, float]
    seed: int
    dtype: str
    rows: int
    chosen_by: str
    validation: Mapping[str, float]
    test: Mapping[str, float]
    seconds: float

    @property
    def merit(self) -> float:
        return self.validation[self.chosen_by]


class Scores:
    """A JSON file of runs with their origin; added runs were measured on `device`."""

    def __init__(self, path: Path, device: str = "cpu") -> None:
        self._path = path
        self._device = device

    def __iter__(self) -> Iterator[Score]:
        for entry in self._entries():
            yield Score(**{name: entry[name] for name in Score.__dataclass_fields__})

    def add(self, score: Score) -> None:
        """Append a run. Other processes may append to the same file."""
        where = {
            "device": origin.device(self._device),
            "threads": torch.get_num_threads(),
            "commit": origin.commit(),
            "command": origin.command(),
        }
        entries = [*self._entries(), {**asdict(score), "seconds": round(score.seconds), **where}]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
        draft.replace(self._path)

    def of(self, task: str, method: str) -> list[Score]:
        return [score for score in self if (score.task, score.method) == (task, method)]

    def _entries(self) -> list[dict[str, Any]]:
        if not self._path.exists():
            return []
        entries: list[dict[str, Any]] = json.loads(self._path.read_text(encoding="utf-8"))
        return entries


def best_settings(scores: Sequence[Score], seed: int) -> Mapping[str, float]:
    """Return the settings with which one seed was best on the validation rows."""
    return max((one for one in scores if one.seed == seed), key=lambda one: one.merit).settings


def summary(scores: Scores, tasks: Sequence[str], seeds: Sequence[int]) -> Iterator[Figure]:
    """Return each method's mean over the seeds with the chosen settings, and its standard error:
    for every set, and over the sets that have both the default and full fine-tuning.

    On every set, the default must be close to full fine-tuning. Its mean over the sets must be
    above those of fine-tuning and PEFT.
    """
    compared: list[Mapping[str, float]] = []
    for task in tasks:
        means: dict[str, float] = {}
        for method in _METHODS:
            if found := scores.of(task, method):
                figure = _mean(found, seeds)
                means[method] = figure.measured or 0.0
                yield figure
        yield from _gaps(task, means, Bound(_MAX_GAPS.get(task, _MAX_GAP), "at most"), None)
        if {DEFAULT, "fine-tuning"} <= means.keys():
            compared.append(means)
    if len(compared) > 1:
        group = f"mean of {len(compared)} sets"
        shared = [name for name in _METHODS if all(name in means for means in compared)]
        overall = {name: statistics.mean(means[name] for means in compared) for name in shared}
        yield from (Figure(group, name, "", value) for name, value in overall.items())
        yield from _gaps(group, overall, Bound(0, "at most"), Bound(0))


def _mean(scores: Sequence[Score], seeds: Sequence[int]) -> Figure:
    settings = best_settings(scores, seeds[0])
    chosen = [one for one in scores if one.settings == settings and one.seed in seeds]
    values = [one.test[one.chosen_by] for one in chosen]
    name = ", ".join([scores[0].method, *(f"{key} {value:g}" for key, value in settings.items())])
    return Figure(
        group=scores[0].task,
        name=f"{name}, {chosen[0].rows} rows, {_seeds(values)}",
        unit=chosen[0].chosen_by,
        measured=statistics.mean(values),
        low=min(values),
        high=max(values),
    )


def _seeds(values: Sequence[float]) -> str:
    """Describe the number of seeds, and the standard error of their mean."""
    if len(values) < 2:
        return f"{len(values)} seed"
    error = statistics.stdev(values) / math.sqrt(len(values))
    return f"{len(values)} seeds, standard error {error:.4f}"


def _gaps(
    group: str, means: Mapping[str, float], to_tuned: Bound, to_peft: Bound | None
) -> Iterator[Figure]:
    """Compare each of our methods with the others. Only the default has bounds."""
    for ours in _OURS:
        pairs = (("fine-tuning", ours, to_tuned), (ours, "PEFT", to_peft))
        for name, other, bound in pairs:
            if name in means and other in means:
                limit = bound if ours == DEFAULT else None
                gap = means[name] - means[other]
                yield Figure(group, f"{name} minus {other}", "", gap, bound=limit)
