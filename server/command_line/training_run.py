"""Trains a plan, prints how each run did, and publishes the best of each task."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from transformers.utils import logging as transformers_logging

from server.command_line.few_shot_progress import FewShotProgress
from server.command_line.interrupts import Stopper
from server.command_line.next_step import suggest
from server.command_line.parallel_launch import is_one_of_several
from server.command_line.progress_bars import TrainingProgress
from server.command_line.publishing import Destination
from server.command_line.training_summary import RunResult, print_results, sweep_table
from training.distillation.teaching import TeacherWatch
from training.errors import PlanRejected, TrainingStopped
from training.examples import TaskData
from training.learning.base_run import BaseRun
from training.learning.parallel import is_first_process
from training.sessions.few_shot_session import fit_plan
from training.sessions.files import CHECKPOINT
from training.sessions.fine_tuning_session import tune_plan
from training.sessions.method_choice import load_rows
from training.sessions.session import discard_checkpoint, run_plan
from training.sessions.trained import TrainedPrefix
from training.settings.plan import TrainPlan

_NOBODY: Final = "local/"
"""The tenant of tasks for which none was given. It exists on no server."""


def train_and_publish(
    plan: TrainPlan,
    output: Path,
    *,
    resume: bool,
    publish_to: str | None,
    key: str,
    alias: str | None,
) -> None:
    """Train a plan, print the results, and publish the best run of each task if asked to.

    Raises:
        TrainingError: as `run_plan`, and when a prefix cannot be published. The checkpoint then
            stays, and `--resume` publishes without training again.
        TrainingStopped: after Ctrl-C or SIGTERM, with a checkpoint.
    """
    console = _console(quiet=not is_first_process())
    transformers_logging.disable_progress_bar()
    if any(run.teacher is not None for run in plan.runs):
        transformers_logging.set_verbosity_error()  # it warns that a new head is untrained
    destination = None if publish_to is None else Destination(publish_to, key, alias)
    if destination is not None:
        for task in dict.fromkeys(run.task for run in plan.runs):
            destination.check(task)  # before hours of training, not after them
    has_checkpoint = (output / CHECKPOINT).exists()
    if resume and not has_checkpoint:
        console.print(f"{output} has no checkpoint: training starts from the beginning")
    plan, data = load_rows(plan, may_choose=not has_checkpoint and not is_one_of_several())
    if plan.is_few_shot:
        trained = _fit(plan, output, console, data)
    else:
        trained = _run(plan, output, console, resume=resume, key=key, data=data)
    if not is_first_process():
        return  # the first process has all results
    _print(console, trained)
    if destination is not None:
        _publish(console, trained, destination)
    discard_checkpoint(output)
    if destination is None or destination.is_server:
        _suggest_next(trained, is_published=destination is not None)


def fine_tune(plan: TrainPlan, output: Path, *, rejected: Sequence[str]) -> None:
    """Fine-tune whole models, and print the results.

    `rejected` are flags that were given and that fine-tuning does not support.

    Raises:
        TrainingError: as `tune_plan`.
        TrainingStopped: after Ctrl-C. There is no checkpoint.
    """
    if rejected:
        raise PlanRejected(
            "Method 'full' trains a whole model as a baseline, in one process and without "
            f"checkpoints. Remove {', '.join(rejected)}."
        )
    console = _console()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()  # it warns that a new head is untrained
    try:
        with TrainingProgress(console) as progress:
            tuned = tune_plan(plan, output, watch=progress.show)
    except KeyboardInterrupt:
        raise TrainingStopped(
            "Stopped. Full fine-tuning has no checkpoint to continue from."
        ) from None
    print_results(
        console,
        [
            RunResult(
                one.config, one.validation, one.test, one.folder, is_readable=one.data.is_readable
            )
            for one in tuned
        ],
    )


def _console(*, quiet: bool = False) -> Console:
    return Console(stderr=True, quiet=quiet, markup=False, emoji=False, highlight=False)


def _fit(
    plan: TrainPlan, output: Path, console: Console, data: Sequence[TaskData]
) -> list[TrainedPrefix]:
    """Compute heads under a progress bar, and print how the rows were read, with warnings."""
    for line in dict.fromkeys(line for one in data for line in one.summary):
        console.print(line, soft_wrap=True)
    with FewShotProgress(console) as progress:
        trained = fit_plan(plan, output, data=data, report=progress.show)
    for one in trained:
        for line in one.warnings:
            if line not in one.finished.warnings:  # which `print_results` prints
                console.print(line, style="yellow", soft_wrap=True)
    return trained


def _run(
    plan: TrainPlan,
    output: Path,
    console: Console,
    *,
    resume: bool,
    key: str,
    data: Sequence[TaskData],
) -> list[TrainedPrefix]:
    """Train a plan under progress bars; a signal stops it with a checkpoint."""
    with TrainingProgress(console) as progress, Stopper() as stopper:

        def watch(runs: Sequence[BaseRun]) -> None:
            progress.show(runs)
            stopper.check()

        def watch_answers(done: int, total: int) -> None:
            progress.show_answers(done, total)
            stopper.check()

        trained = run_plan(
            plan,
            output,
            resume=resume,
            key=key,
            data=data,
            watch=watch,
            teacher_watch=TeacherWatch(watch, watch_answers),
        )
        stopper.check()  # a signal during the last step must still prevent publishing
    return trained


def _print(console: Console, trained: Sequence[TrainedPrefix]) -> None:
    for one in trained:
        if one.sweep is not None:
            console.print(sweep_table(one.sweep))
    print_results(
        console,
        [
            RunResult(
                one.config,
                one.finished.validation,
                one.finished.test,
                one.file,
                is_readable=one.data.is_readable,
                is_cross_validated=one.finished.is_cross_validated,
                thresholds=one.finished.thresholds,
                rejection=one.finished.rejection,
                teacher=one.teacher,
            )
            for one in trained
        ],
    )


def _publish(console: Console, trained: Sequence[TrainedPrefix], destination: Destination) -> None:
    for best in best_of_each_task(trained):
        reference = destination.publish(best.finished, best.config.task)
        console.print(f"Published {reference}")


def _suggest_next(trained: Sequence[TrainedPrefix], *, is_published: bool) -> None:
    """Print the next command for the first task."""
    first = best_of_each_task(trained)[0]
    if is_published:
        suggest("prefix", "show", first.config.task)
    elif first.config.task.startswith(_NOBODY):
        suggest("evaluate", str(first.file), "ROWS")
    else:
        suggest("prefix", "push", first.config.task, str(first.file))


def best_of_each_task(trained: Sequence[TrainedPrefix]) -> list[TrainedPrefix]:
    """Select the run of each task with the best validation metric."""
    best: dict[str, TrainedPrefix] = {}
    for one in trained:
        leader = best.get(one.config.task)
        if leader is None or one.merit > leader.merit:
            best[one.config.task] = one
    return list(best.values())
