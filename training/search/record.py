"""The record of a sweep: `sweep.json` for programs, and facts for the chosen file."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import JsonValue

from prefixes.atomic import write_atomically
from training.learning.run import Run
from training.search.sweep import Outcome, Sweep, optuna_version
from training.settings.defaults import MetricName
from training.settings.sweep_plan import SweepPlan


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """One trial: its settings, and the metric of its task after each evaluation.

    `value` is the best, None if the trial was never evaluated. `curve` lists steps and values.
    """

    number: int
    settings: Mapping[str, Any]
    outcome: Outcome
    ended: str
    value: float | None
    curve: tuple[tuple[int, float], ...]

    @classmethod
    def of(cls, number: int, settings: Mapping[str, Any], outcome: Outcome, run: Run) -> Self:
        metric = run.config.metric
        return cls(
            number=number,
            settings=settings,
            outcome=outcome,
            ended=run.ended or "",
            value=None if run.best is None else run.best.metrics[metric],
            curve=tuple((one.step, one.metrics[metric]) for one in run.history),
        )


@dataclass(frozen=True, slots=True)
class SweepRecord:
    """All trials of one task. `best` is the number of the trial that was kept."""

    task: str
    plan: SweepPlan
    metric: MetricName
    best: int
    trials: tuple[TrialRecord, ...]

    def facts(self) -> dict[str, JsonValue]:
        """Return the facts for the provenance of the chosen prefix."""
        outcomes = [trial.outcome for trial in self.trials]
        return {
            **self.plan.model_dump(mode="json"),
            "trials": len(self.trials),
            "pruned": outcomes.count("pruned"),
            "diverged": outcomes.count("diverged"),
            "trial": self.best,
            "metric": self.metric,
            "optuna": optuna_version(),
        }

    def write(self, path: Path) -> None:
        """Write `sweep.json`."""
        trials = [dataclasses.asdict(trial) for trial in self.trials]
        report = {"task": self.task, **self.facts(), "trials": trials}
        write_atomically(path, json.dumps(report, indent=1, ensure_ascii=False) + "\n")


def choose(sweep: Sweep, runs: Sequence[Run]) -> list[tuple[int, SweepRecord]]:
    """Choose the best run of each task, by its metric and then by the lower validation loss.

    Returns the index of each run, and the record of its sweep. A task without any evaluated trial
    is omitted.
    """
    chosen = []
    for task, config in enumerate(sweep.tasks):
        places = [place for place, trial in enumerate(sweep.trials) if trial.task == task]
        evaluated = [place for place in places if runs[place].best is not None]
        if not evaluated:
            continue
        best = max(evaluated, key=lambda place: runs[place].merit)
        record = SweepRecord(
            task=config.run_name,
            plan=sweep.plan,
            metric=config.metric,
            best=sweep.trials[best].number,
            trials=tuple(
                TrialRecord.of(trial.number, trial.settings, trial.outcome, runs[place])
                for place, trial in ((place, sweep.trials[place]) for place in places)
            ),
        )
        chosen.append((best, record))
    return chosen
