"""A training measured beside the version that is live: both on the same held-out rows."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from prefixes import Prefix
from prefixes.backbone import load_backbone
from training.data.parts import load_task
from training.errors import CheckpointRejected
from training.learning.evaluate import evaluate
from training.service.outcome import success
from training.sessions.phases import Watcher
from training.sessions.session import TrainedPrefix, discard_checkpoint, run_plan
from training.settings.config import TrainConfig
from training.settings.plan import TrainPlan, check_plan

_log = logging.getLogger(__name__)


def train_and_compare(
    fields: Mapping[str, Any],
    output: Path,
    *,
    live: Path | None,
    seconds_between_checkpoints: float,
    watch: Watcher,
    describe: Callable[[Sequence[str]], None],
    warn: Callable[[Sequence[str]], None],
) -> dict[str, Any]:
    """Train a plan of one run, from its checkpoint if there is one, and say how it did.

    Args:
        fields: of the plan.
        output: folder for what `run_plan` writes.
        live: file of the version to compare with, None where there is none.
        seconds_between_checkpoints: how much work a kill may cost.
        watch: as of `run_plan`.
        describe: told how the rows were read, a sentence for each part, once they are.
        warn: told what is doubtful about the rows, once they are read.

    Raises:
        TrainingError: as `run_plan`, or when `watch` stops it.
        PrefixError: as `run_plan`.
    """
    plan = check_plan(fields, origin="the request")
    before = None if live is None else Prefix.from_bytes(live.read_bytes())
    (config,) = plan.runs
    data = load_task(config)
    if before is not None and config.labels is None and set(data.labels) == set(before.spec.labels):
        # The same labels in the order that callers know: the rows can be compared, too.
        config = config.model_copy(update={"labels": before.spec.labels or None})
        plan = plan.model_copy(update={"runs": (config,)})
        del data  # two of them would take twice the memory
        data = load_task(config)
    describe(data.summary)
    warn(data.warnings)
    train = partial(
        run_plan,
        plan,
        output,
        data=[data],
        resume=True,
        seconds_between_checkpoints=seconds_between_checkpoints,
        watch=watch,
    )
    try:
        (trained,) = train()
    except CheckpointRejected as error:  # of an earlier release, or damaged: it begins anew
        _log.warning("%s", error)
        discard_checkpoint(output)
        (trained,) = train()
    return _outcome(plan, config, trained, before)


def _outcome(
    plan: TrainPlan, config: TrainConfig, trained: TrainedPrefix, live: Prefix | None
) -> dict[str, Any]:
    finished, data = trained.finished, trained.data
    remarks = list(trained.warnings)
    label = finished.validation.only_answer
    if label is not None:
        remarks.append(f"It answers {label!r} to every validation row, and has learnt no more")
    figure = None
    examples = data.test or data.validation
    if live is not None:
        reason = _difference(live, finished.prefix)
        if reason is None:
            backbone = load_backbone(plan.backbone, device=plan.device, dtype=plan.dtype)
            tokens = plan.tokens_per_batch
            measured = evaluate(backbone, live, examples, tokens_per_batch=tokens)
            figure = measured.metrics[config.metric]
        else:
            remarks.append(f"The live version cannot be measured on these rows: {reason}")
    return success(
        metric=config.metric,
        part="test" if data.test else "validation",
        num_rows=len(examples),
        new=(finished.test or finished.validation).metrics[config.metric],
        live=figure,
        remarks=remarks,
    )


def _difference(live: Prefix, new: Prefix) -> str | None:
    """Say what keeps two prefixes from being measured on the same rows, if anything does."""
    for name in ("task_type", "problem_type", "labels", "input", "backbone"):
        if getattr(live.spec, name) != getattr(new.spec, name):
            return f"its {name} is another one"
    return None
