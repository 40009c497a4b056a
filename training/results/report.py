"""report.json: the settings, history and results of one run."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import JsonValue

from prefixes.atomic import write_atomically
from prefixes.backbone import Backbone
from prefixes.backbone.precision import dtype_name
from training.baselines.fine_tuning import FineTuningRun
from training.examples import TaskData
from training.learning.base_run import BaseRun
from training.learning.run import Run
from training.results.finish import FinishedPrefix
from training.settings.config import TrainConfig
from training.tasks import definition_of
from training.tasks.metrics import Measurement


@dataclass(frozen=True, slots=True)
class Timing:
    """Duration of all runs of a training. They share every step."""

    seconds: float
    num_runs: int
    num_rows: int


def write_report(
    path: Path,
    run: Run,
    data: TaskData,
    finished: FinishedPrefix,
    *,
    backbone: Backbone,
    timing: Timing,
    origins: Mapping[str, JsonValue],
) -> None:
    """Write the settings, history and results of a run.

    `origins` describe the sweep, the shared prefix, the initial prefix and the teacher, if there
    are any.
    """
    counts = {
        "trained": sum(x.numel() for x in run.learner.parameters()),
        "stored": finished.prefix.num_values,
    }
    report = {
        **_course(run, data, backbone, timing),
        **origins,
        "num_parameters": counts,
        **_figures(finished.validation, finished.test),
        "temperature": finished.temperature,
        "thresholds": dataclasses.asdict(finished.thresholds) if finished.thresholds else None,
        "rejection": finished.rejection.document if finished.rejection else None,
        "warnings": [*run.warnings, *finished.warnings],
        "file": {"sha256": finished.digest, "bytes": len(finished.data)},
    }
    _write(path, report)


def write_model_report(
    path: Path,
    tuning: FineTuningRun,
    data: TaskData,
    *,
    backbone: Backbone,
    timing: Timing,
    validation: Measurement,
    test: Measurement | None,
) -> None:
    """Write the settings, history and results of a fine-tuning."""
    count = sum(x.numel() for x in tuning.padded.model.parameters())
    report = {
        **_course(tuning, data, backbone, timing),
        "num_parameters": {"trained": count, "stored": count},
        **_figures(validation, test),
    }
    _write(path, report)


def write_few_shot_report(
    path: Path,
    config: TrainConfig,
    data: TaskData,
    finished: FinishedPrefix,
    *,
    backbone: Backbone,
    seconds: float,
    warnings: Sequence[str],
) -> None:
    """Write the settings and results of a head that was computed without training.

    `validation` is null without labeled rows. `is_cross_validated` says that it measures the
    training rows, each with a head that did not see it.
    """
    validation = finished.validation
    report = {
        **_setting(config, data, backbone),
        "timing": {"seconds": seconds},
        "warnings": list(warnings),
        "num_parameters": {"trained": 0, "stored": finished.prefix.num_values},
        **_figures(validation, finished.test),
        "is_cross_validated": finished.is_cross_validated,
        "thresholds": dataclasses.asdict(finished.thresholds) if finished.thresholds else None,
        "temperature": finished.temperature,
        "file": {"sha256": finished.digest, "bytes": len(finished.data)},
    }
    _write(path, report)


def _setting(config: TrainConfig, data: TaskData, backbone: Backbone) -> dict[str, Any]:
    return {
        "run": config.run_name,
        "config": config.model_dump(mode="json"),
        "backbone": backbone.fingerprint.model_dump(),
        "device": str(backbone.device),
        "dtype": dtype_name(backbone.dtype),
        "torch": str(torch.__version__),
        "data": _data_facts(config, data),
    }


def _course(
    learning: BaseRun, data: TaskData, backbone: Backbone, timing: Timing
) -> dict[str, Any]:
    assert learning.best is not None
    return {
        **_setting(learning.config, data, backbone),
        "history": [dataclasses.asdict(evaluation) for evaluation in learning.history],
        "best": dataclasses.asdict(learning.best),
        "ended": learning.ended,
        "timing": {
            **dataclasses.asdict(timing),
            "rows_per_second": timing.num_rows / timing.seconds if timing.seconds else None,
        },
        "class_weights": _weights(learning, data),
        "warnings": list(learning.warnings),
    }


def _figures(validation: Measurement, test: Measurement | None) -> dict[str, Any]:
    return {
        "validation": dataclasses.asdict(validation) if validation.metrics else None,
        "test": dataclasses.asdict(test) if test else None,
        "only_answer": validation.only_answer,
    }


def _write(path: Path, report: Mapping[str, Any]) -> None:
    write_atomically(path, json.dumps(report, indent=1, ensure_ascii=False) + "\n")


def _weights(learning: BaseRun, data: TaskData) -> dict[str, float] | None:
    weights = learning.loss_settings.class_weights
    if weights is None:
        return None
    return dict(zip(data.labels, weights.tolist(), strict=True))


def _data_facts(config: TrainConfig, data: TaskData) -> dict[str, Any]:
    counts = definition_of(config.task_type).label_counts(data.labels, data.train.truths)
    return {
        "sha256": data.sha256,
        "labels": list(data.labels),
        "summary": list(data.summary),
        "rows": {name: len(part) for name, part in data.parts.items()},
        "unlabeled_rows": len(data.unlabeled or ()),
        "train_rows_by_label": counts,
    }
