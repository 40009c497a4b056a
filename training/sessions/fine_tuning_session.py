"""A session that trains whole models as a baseline, with the same reports as for prefixes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prefixes.backbone import Backbone, load_backbone
from prefixes.backbone.kernels.names import TORCH
from training.baselines.fine_tuning import FineTuningRun, learn
from training.data.loading import load_all
from training.examples import TaskData
from training.learning.base_run import BaseRun
from training.results.curves import draw_confusion, draw_curve
from training.results.report import Timing, write_model_report
from training.sessions.files import CONFUSION, CURVE, REPORT
from training.sessions.phases import Stopwatch
from training.settings.config import TrainConfig
from training.settings.plan import TrainPlan
from training.tasks.metrics import Measurement

MODEL_FOLDER: Final = "model"


@dataclass(frozen=True, slots=True, eq=False)
class TunedModel:
    """A finished model: its folder in the format of transformers, and its metrics."""

    config: TrainConfig
    folder: Path
    validation: Measurement
    test: Measurement | None
    data: TaskData


def tune_plan(
    plan: TrainPlan, output: Path, *, watch: Callable[[Sequence[BaseRun]], None]
) -> list[TunedModel]:
    """Fine-tune a model for every run of a plan, one after another.

    Args:
        plan: what to train; all runs have the method `full`.
        output: a folder, created if it is missing. A single run writes into it, several into
            folders of their names. Each writes its best weights and tokenizer as transformers
            saves them, its report and its pictures.
        watch: called with a run when it starts, then after each of its steps.

    Raises:
        TrainingError: for problems of data before the first step; or when a run ended without an
            evaluation.
        PrefixError: when the backbone cannot be loaded.
    """
    data = load_all(plan.runs)
    # Each run loads its own copy of the weights, with plain layers, because they are trained.
    backbone = load_backbone(
        plan.backbone,
        device=plan.device,
        dtype=plan.dtype,
        linear_kernel=TORCH,
        attention_kernel=TORCH,
        to_train=True,
    )
    tuned = []
    for config, rows in zip(plan.runs, data, strict=True):
        stopwatch = Stopwatch.start(0.0)
        tuning = FineTuningRun.start(config, rows, backbone, tokens_per_batch=plan.tokens_per_batch)
        learn(tuning, watch)
        folder = output if len(plan.runs) == 1 else output / config.run_name
        folder.mkdir(parents=True, exist_ok=True)
        timing = Timing(stopwatch.seconds, 1, tuning.num_rows_seen)
        tuned.append(_write(tuning, tuning.rows.data, backbone, folder, timing))
    return tuned


def _write(
    tuning: FineTuningRun, data: TaskData, backbone: Backbone, folder: Path, timing: Timing
) -> TunedModel:
    validation = tuning.measure(backbone, data.validation)
    test = None if data.test is None else tuning.measure(backbone, data.test)
    tuning.padded.save(folder / MODEL_FOLDER)
    draw_curve(tuning, folder / CURVE)
    draw_confusion(tuning.config.run_name, validation, folder / CONFUSION)
    write_model_report(
        folder / REPORT,
        tuning,
        data,
        backbone=backbone,
        timing=timing,
        validation=validation,
        test=test,
    )
    return TunedModel(tuning.config, folder / MODEL_FOLDER, validation, test, data)
