"""What `train` does, once its flags are a plan: it trains, says how that went, and publishes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Column, Table
from transformers.utils import logging as transformers_logging

from server.command_line.interrupts import Stopper
from server.command_line.progress_bars import TrainingProgress
from server.command_line.publishing import Destination
from training.errors import PlanRejected, TrainingError
from training.learning.base_run import Learning
from training.learning.parallel import is_first_process
from training.search.record import SweepRecord
from training.sessions.fine_tuning_session import tune_plan
from training.sessions.session import CHECKPOINT, best_of_each_task, discard_checkpoint, run_plan
from training.settings.config import TrainConfig
from training.settings.plan import TrainPlan
from training.tasks.metrics import Measurement

_MAX_TRIALS: Final = 20


def train_and_publish(
    plan: TrainPlan,
    output: Path,
    *,
    resume: bool,
    publish_to: str | None,
    key: str,
    alias: str | None,
) -> None:
    """Train a plan, say how each run did, and publish the best of each task where asked to.

    Raises:
        TrainingError: as `run_plan`, and when a prefix cannot be published; then the checkpoint
            stays, and resuming publishes without training again.
        TrainingStopped: after Ctrl-C or SIGTERM, with a checkpoint.
    """
    console = Console(stderr=True, quiet=not is_first_process(), markup=False, emoji=False)
    transformers_logging.disable_progress_bar()
    destination = None if publish_to is None else Destination(publish_to, key, alias)
    if destination is not None:
        for task in dict.fromkeys(run.task for run in plan.runs):
            destination.check(task)  # now, not after hours of training
    if resume and not (output / CHECKPOINT).exists():
        console.print(f"There is nothing to resume in {output}: it begins anew", highlight=False)
    with TrainingProgress(console) as progress, Stopper() as stopper:

        def watch(runs: Sequence[Learning]) -> None:
            progress.show(runs)
            stopper.check()

        trained = run_plan(plan, output, resume=resume, key=key, watch=watch)
        stopper.check()  # all is written, but it may not be wanted any more that it is published
    if not is_first_process():
        return  # the first has it all
    for one in trained:
        if one.sweep is not None:
            console.print(_sweep_table(one.sweep))
    _tell(
        console,
        [
            _Result(
                one.config,
                one.finished.validation,
                one.finished.test,
                one.file,
                is_readable=one.data.is_readable,
            )
            for one in trained
        ],
    )
    if destination is not None:
        for best in best_of_each_task(trained):
            reference = destination.publish(best.finished, best.config.task)
            console.print(f"Published {reference}", highlight=False)
    discard_checkpoint(output)


def fine_tune(plan: TrainPlan, output: Path, *, refused: Sequence[str]) -> None:
    """Fine-tune whole models, and say how each did.

    `refused` are flags that were given, and mean nothing for a model.

    Raises:
        TrainingError: as `tune_plan`, or when it is stopped: there is no checkpoint.
    """
    if refused:
        raise PlanRejected(
            "Method 'full' makes a model of its own, in one process and without checkpoints, to "
            f"hold prefixes against: leave out {', '.join(refused)}"
        )
    console = Console(stderr=True, markup=False, emoji=False)
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()  # that a fresh head is new is no news
    try:
        with TrainingProgress(console) as progress:
            tuned = tune_plan(plan, output, watch=progress.show)
    except KeyboardInterrupt:
        raise TrainingError("stopped; full fine-tuning has no checkpoint to go on from") from None
    _tell(
        console,
        [
            _Result(
                one.config,
                one.validation,
                one.test,
                one.folder,
                is_readable=one.data.is_readable,
            )
            for one in tuned
        ],
    )


@dataclass(frozen=True, slots=True)
class _Result:
    """What a person is told of a run, and the file or folder it wrote."""

    config: TrainConfig
    validation: Measurement
    test: Measurement | None
    place: Path
    is_readable: bool


def _tell(console: Console, results: Sequence[_Result]) -> None:
    console.print(_summary(results))
    for warning in _warnings(results):
        console.print(warning, style="yellow", highlight=False)


def _summary(results: Sequence[_Result]) -> Table:
    table = Table("run", "best by", "validation", "test", Column("written to", overflow="fold"))
    for one in results:
        metric = one.config.metric
        table.add_row(
            one.config.run_name,
            metric,
            f"{one.validation.metrics[metric]:.4f}",
            "" if one.test is None else f"{one.test.metrics[metric]:.4f}",
            str(one.place),
        )
    return table


def _warnings(results: Sequence[_Result]) -> Iterator[str]:
    for one in results:
        label = one.validation.only_answer
        if label is not None:
            yield (
                f"{one.config.run_name} answers {label!r} to every validation row: it has learnt "
                f"which label is the most frequent, and no more. {_remedy(one)}"
            )


def _remedy(result: _Result) -> str:
    if not result.is_readable:
        return "The backbone cannot read the texts: use one whose vocabulary covers them"
    return "Try more epochs, another learning_rate, or more rows of the other labels"


def _sweep_table(record: SweepRecord) -> Table:
    """List the best trials of a task, with what of their settings was searched."""
    fields = list(record.plan.space)
    title = f"{record.task}: {len(record.trials)} trials"
    searched = [Column(field, overflow="fold") for field in fields]
    table = Table("trial", *searched, record.metric, "steps", "ended", title=title)
    evaluated = [trial for trial in record.trials if trial.value is not None]
    for trial in sorted(evaluated, key=lambda one: one.value or 0, reverse=True)[:_MAX_TRIALS]:
        table.add_row(
            str(trial.number),
            *(_short(trial.settings[field]) for field in fields),
            f"{trial.value:.4f}",
            str(trial.curve[-1][0]),
            trial.outcome,
            style="bold" if trial.number == record.best else None,
        )
    return table


def _short(setting: Any) -> str:
    return f"{setting:.4g}" if isinstance(setting, float) else str(setting)
