"""A training session: from a plan to prefix files, reports and pictures in a folder."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from prefixes.atomic import write_atomically
from prefixes.backbone import Backbone
from training.data.lessons import Lessons
from training.data.loading import DATA_FIELDS, load_all
from training.distillation.teaching import (
    UNWATCHED,
    TeacherWatch,
    Teaching,
    teacher_digests,
)
from training.errors import CheckpointRejected, PlanRejected, TrainingError
from training.examples import TaskData
from training.learning.parallel import join_processes
from training.results.curves import draw_confusion, draw_curve, draw_overview
from training.results.finish import finish
from training.results.report import Timing, write_report
from training.results.sweep_chart import draw_sweep
from training.search.sweep import optuna_version
from training.sessions.backbone import load_to_train
from training.sessions.checkpoint import Checkpoint, Identity, load_checkpoint
from training.sessions.files import (
    CHECKPOINT,
    CONFUSION,
    CURVE,
    LESSONS_FOLDER,
    PREFIX_FILE,
    REPORT,
)
from training.sessions.multitask import SharedPrefix
from training.sessions.phases import PhaseRunner, Stopwatch, Watcher
from training.sessions.plan_runs import PlanRuns, SelectedRun
from training.sessions.trained import TrainedPrefix
from training.sessions.warm_start import WarmStart, read_starts, with_shapes
from training.settings.plan import TrainPlan

SHARED_FILE: Final = "shared.safetensors"
SECONDS_BETWEEN_CHECKPOINTS: Final = 30.0

_OF_TEACHERS: Final = ("teacher", "teacher_learning_rate")
"""Settings that all trials of a task share, because they share its teacher."""


def run_plan(
    plan: TrainPlan,
    output: Path,
    *,
    resume: bool = False,
    seconds_between_checkpoints: float = SECONDS_BETWEEN_CHECKPOINTS,
    key: str = "",
    kernel_cache: Path | None = None,
    data: Sequence[TaskData] | None = None,
    watch: Watcher,
    teacher_watch: TeacherWatch = UNWATCHED,
) -> list[TrainedPrefix]:
    """Train every prefix of a plan; write each one's file, report and picture.

    The checkpoint stays until the caller calls `discard_checkpoint`.

    Args:
        plan: what to train.
        output: a folder, created if it is missing. A single run writes into it, several into
            folders of their names. In a sweep, the best run of each task writes. The shared
            prefix of tasks that learn together is stored next to them.
        resume: continue from the checkpoint in `output`, or start if it does not exist.
        seconds_between_checkpoints: maximum work that a kill may lose.
        key: API key for the server that `start_from` names, if it needs one.
        kernel_cache: a file with choices of kernels, so that none are measured.
        data: the rows of each run, if the caller has already read the files.
        watch: called with all runs at the start, then after every step with those that took part.
            It may raise TrainingStopped, which leaves a checkpoint and reaches the caller.
        teacher_watch: called while teachers learn and answer, before the prefixes are trained.

    Raises:
        TrainingError: for problems of plan, data or checkpoint, all before the first step; or
            when every run ended without an evaluation.
        PrefixError: when the backbone cannot be loaded, a file is rejected or the disk fails.

    With several processes, only the first writes and returns results.
    """
    checkpoint = output / CHECKPOINT
    if not resume:
        _check_unused(output)
    _check_methods(plan)
    _check_sweep(plan)
    data = data or load_all(plan.runs)
    processes, device = join_processes(plan.device)
    saved = load_checkpoint(checkpoint) if checkpoint.exists() else None
    backbone = load_to_train(
        plan, device, saved, kernel_cache=kernel_cache, num_processes=processes.count
    )
    starts = read_starts(plan.runs, fits=backbone.fingerprint, key=key)
    plan = with_shapes(plan, starts)
    teachers = teacher_digests(plan.runs)
    if teachers and processes.count > 1:
        raise PlanRejected("A teacher needs one process: remove --num-processes, or the teacher")
    identity = Identity.of(plan, data, backbone, starts, teachers)
    if saved is not None:
        saved.check(identity)
    processes.meet()  # nobody may change the checkpoint before all have read it
    stopwatch = Stopwatch.start(saved.seconds if saved else 0.0)
    phases = PhaseRunner(
        backbone=backbone,
        processes=processes,
        checkpoint=checkpoint,
        identity=identity,
        stopwatch=stopwatch,
        seconds_between_checkpoints=seconds_between_checkpoints,
        tokens_per_batch=plan.tokens_per_batch,
        watch=watch,
    )
    teaching = Teaching(
        backbone=backbone,
        folder=output / LESSONS_FOLDER,
        digests=teachers,
        tokens_per_batch=plan.tokens_per_batch,
        watch=teacher_watch,
    )
    lessons = teaching.lessons(plan.runs, data, resume=resume)
    plan_runs = _train(plan, output, data, phases, starts=starts, saved=saved, lessons=lessons)
    if not phases.saves:
        return []
    return _write_all(plan_runs, output, plan=plan, timing=plan_runs.timing(stopwatch.seconds))


def _train(
    plan: TrainPlan,
    output: Path,
    data: Sequence[TaskData],
    phases: PhaseRunner,
    *,
    starts: Mapping[str, WarmStart],
    saved: Checkpoint | None,
    lessons: Sequence[Lessons | None],
) -> PlanRuns:
    """Run the shared phase of a multitask plan, if it is not complete, and then the main phase."""
    backbone = phases.backbone
    shared = SharedPrefix.again(plan, saved.shared_sha256 if saved else None)
    if plan.multitask is not None and shared is None:
        first = PlanRuns.begin_sharing(plan, data, backbone, starts, saved=saved)
        phases.go(first)
        shared, saved = SharedPrefix.of(first.runs), None
        if phases.saves:
            write_atomically(output / SHARED_FILE, shared.file)
    plan_runs = PlanRuns.begin(
        plan, data, backbone, starts, saved=saved, shared=shared, lessons=lessons
    )
    phases.go(plan_runs)
    return plan_runs


def discard_checkpoint(output: Path) -> None:
    """Delete the checkpoint and the lessons. The training can no longer be resumed."""
    (output / CHECKPOINT).unlink(missing_ok=True)
    shutil.rmtree(output / LESSONS_FOLDER, ignore_errors=True)


def _check_unused(output: Path) -> None:
    """Reject an output folder with an unfinished training."""
    if (output / CHECKPOINT).exists():
        raise CheckpointRejected(
            f"{output} holds an unfinished training: add --resume to continue it, or "
            "choose another output folder"
        )


def _check_methods(plan: TrainPlan) -> None:
    """Reject methods of other functions, whose runs would be trained as something else."""
    for is_other, function in ((plan.is_few_shot, "fit_plan"), (plan.is_full, "tune_plan")):
        if is_other:
            method = plan.runs[0].method
            raise PlanRejected(f"run_plan does not support method {method!r}: call {function}")


def _check_sweep(plan: TrainPlan) -> None:
    """Reject a search of settings that select the rows: all trials of a task share their rows."""
    if plan.sweep is None:
        return
    optuna_version()  # now, not after the backbone was loaded
    fixed = [name for name in (*DATA_FIELDS, *_OF_TEACHERS) if name in plan.sweep.space]
    if fixed:
        raise PlanRejected(f"A sweep cannot change {', '.join(fixed)}: describe another [[task]]")


def _write_all(
    plan_runs: PlanRuns, output: Path, *, plan: TrainPlan, timing: Timing
) -> list[TrainedPrefix]:
    winners = plan_runs.winners()
    if not winners:
        raise TrainingError(
            "; ".join(f"{run.config.run_name} {run.ended}" for run in plan_runs.runs)
        )
    if len(plan.runs) > 1 and plan.sweep is None:
        draw_overview(plan_runs.runs, output / "overview.png")
    trained = []
    for winner in winners:
        config = winner.run.config
        name = config.run_name if winner.sweep is None else winner.sweep.task
        folder = output if len(plan.runs) == 1 else output / name
        folder.mkdir(parents=True, exist_ok=True)
        trained.append(_write(winner, folder, plan_runs.backbone, plan.tokens_per_batch, timing))
        if winner.sweep is not None:
            winner.sweep.write(folder / "sweep.json")
            draw_sweep(winner.sweep, folder / "sweep.png")
    return trained


def _write(
    winner: SelectedRun, folder: Path, backbone: Backbone, tokens_per_batch: int, timing: Timing
) -> TrainedPrefix:
    run = winner.run
    assert run.best_prefix is not None
    finished = finish(
        backbone,
        run.config,
        winner.data,
        run.best_prefix,
        tokens_per_batch=tokens_per_batch,
        origins=winner.origins,
    )
    file = folder / PREFIX_FILE
    write_atomically(file, finished.data)
    draw_curve(run, folder / CURVE)
    draw_confusion(run.config.run_name, finished.validation, folder / CONFUSION)
    write_report(
        folder / REPORT,
        run,
        winner.data,
        finished,
        backbone=backbone,
        timing=timing,
        origins=winner.origins,
    )
    warnings = (*run.warnings, *finished.warnings)
    return TrainedPrefix(
        run.config, winner.data, file, finished, warnings, winner.sweep, run.teacher
    )
