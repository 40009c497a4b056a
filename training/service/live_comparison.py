"""Trains a new version and compares it with the live one on the same held-out rows."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from prefixes import Prefix
from prefixes.backbone import load_backbone
from training.distillation.teaching import UNWATCHED, TeacherWatch
from training.errors import CheckpointRejected
from training.examples import Examples, TaskData
from training.learning.evaluate import evaluate
from training.service.protocol.messages import MeasuredOn, Success
from training.sessions.few_shot_session import fit_plan
from training.sessions.files import CHECKPOINT
from training.sessions.method_choice import load_rows
from training.sessions.phases import Watcher
from training.sessions.session import discard_checkpoint, run_plan
from training.sessions.trained import TrainedPrefix
from training.settings.plan import TrainPlan, check_plan
from training.tasks.metrics import Measurement

_log = logging.getLogger(__name__)


def train_and_compare(
    fields: Mapping[str, Any],
    output: Path,
    *,
    live: Path | None,
    kernel_cache: Path | None = None,
    seconds_between_checkpoints: float,
    watch: Watcher,
    teacher_watch: TeacherWatch = UNWATCHED,
    describe: Callable[[Sequence[str]], None],
    warn: Callable[[Sequence[str]], None],
) -> Success:
    """Train a plan of one run, from its checkpoint if there is one, and measure the result.

    Args:
        fields: fields of the plan.
        output: folder for the files that `run_plan` writes.
        live: file of the live version, or None.
        kernel_cache: file with choices of kernels, or None.
        seconds_between_checkpoints: how much work a kill may cost.
        watch: as for `run_plan`.
        teacher_watch: as for `run_plan`.
        describe: called with one sentence for each part, once the rows are read.
        warn: called with the warnings about the rows, once they are read.

    Raises:
        TrainingError: as `run_plan`, or when `watch` stops it.
        PrefixError: as `run_plan`.
    """
    plan = check_plan(fields, origin="the request")
    before = None if live is None else Prefix.from_bytes(live.read_bytes())
    (config,) = plan.runs
    plan, data = _load(plan, before, may_choose=not (output / CHECKPOINT).exists())
    describe(data.summary)
    warn(data.warnings)
    if plan.is_few_shot:
        (fitted,) = fit_plan(plan, output, data=[data], kernel_cache=kernel_cache)
        warn(fitted.warnings)
        return _compare(plan, config.metric, fitted, before, kernel_cache)
    train = partial(
        run_plan,
        plan,
        output,
        data=[data],
        resume=True,
        kernel_cache=kernel_cache,
        seconds_between_checkpoints=seconds_between_checkpoints,
        watch=watch,
        teacher_watch=teacher_watch,
    )
    try:
        (trained,) = train()
    except CheckpointRejected as error:  # of an earlier release, or damaged: start over
        _log.warning("%s", error)
        discard_checkpoint(output)
        (trained,) = train()
    return _compare(plan, config.metric, trained, before, kernel_cache)


def _load(plan: TrainPlan, live: Prefix | None, *, may_choose: bool) -> tuple[TrainPlan, TaskData]:
    """Choose the methods of a plan of one run, and read its rows.

    If the rows have the labels of the live version, they get the order that clients know, so that
    rows can be compared.
    """
    (config,) = plan.runs
    chosen, (data,) = load_rows(plan, may_choose=may_choose)
    if live is None or config.labels is not None or set(data.labels) != set(live.spec.labels):
        return chosen, data
    del data  # or both would be in memory at once
    ordered = config.model_copy(update={"labels": live.spec.labels or None})
    plan = plan.model_copy(update={"runs": (ordered,)})
    chosen, (data,) = load_rows(plan, may_choose=may_choose)
    return chosen, data


def _compare(
    plan: TrainPlan,
    metric: str,
    trained: TrainedPrefix,
    live: Prefix | None,
    kernel_cache: Path | None,
) -> Success:
    finished, data = trained.finished, trained.data
    examples = data.test or data.validation or data.train
    measured_on: MeasuredOn = "validation" if data.validation else "cross_validation"
    warnings = list(trained.warnings)
    label = finished.validation.only_answer
    if label is not None:
        warnings.append(f"The model answers {label!r} to every validation row: it learned nothing.")
    difference = None if live is None else _difference(live, finished.prefix)
    if difference is not None:
        warnings.append(f"The live version cannot be measured on these rows: {difference}.")
    figure = None
    if live is not None and difference is None and examples:
        measured = _measure(plan, live, examples, kernel_cache)
        figure = measured.metrics[metric]
    new = finished.test or finished.validation
    return Success(
        metric=metric,
        measured_on="test" if data.test else measured_on,
        num_rows=len(examples),
        new=new.metrics.get(metric),
        live=figure,
        warnings=warnings,
    )


def _measure(
    plan: TrainPlan, live: Prefix, examples: Examples[Any], kernel_cache: Path | None
) -> Measurement:
    backbone = load_backbone(
        plan.backbone,
        device=plan.device,
        dtype=plan.dtype,
        linear_kernel=plan.linear_kernel,
        attention_kernel=plan.attention_kernel,
        kernel_cache=kernel_cache,
    )
    return evaluate(backbone, live, examples, tokens_per_batch=plan.tokens_per_batch)


def _difference(live: Prefix, new: Prefix) -> str | None:
    """Return why two prefixes cannot be measured on the same rows; None where they can."""
    for name in ("task_type", "problem_type", "labels", "input", "backbone"):
        if getattr(live.spec, name) != getattr(new.spec, name):
            return f"its {name} differs from that of the new version"
    return None
