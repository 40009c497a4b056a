"""report.json: everything about one run that a person or a program may ask for later."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import JsonValue

from prefixes.backbone import Backbone
from prefixes.backbone.precision import dtype_name
from training.examples import TaskData
from training.finish import FinishedPrefix
from training.run import Run


@dataclass(frozen=True, slots=True)
class Timing:
    """How long the runs of a training took together: they share every step."""

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
    """Write what a run was given, went through and came to.

    `origins` say what the settings or the prefix began from, where that was something made.
    """
    assert run.best is not None
    report = {
        "run": run.config.run_name,
        "config": run.config.model_dump(mode="json"),
        **origins,
        "backbone": backbone.fingerprint.model_dump(),
        "device": str(backbone.device),
        "dtype": dtype_name(backbone.dtype),
        "torch": str(torch.__version__),
        "data": _data_facts(run, data),
        "num_parameters": {
            "trained": sum(x.numel() for x in run.learner.parameters()),
            "stored": finished.prefix.num_values,
        },
        "history": [dataclasses.asdict(evaluation) for evaluation in run.history],
        "best": dataclasses.asdict(run.best.evaluation),
        "ended": run.ended,
        "timing": {
            **dataclasses.asdict(timing),
            "rows_per_second": timing.num_rows / timing.seconds if timing.seconds else None,
        },
        "class_weights": _weights(run, data),
        "doubts": list(run.doubts),
        "validation": dataclasses.asdict(finished.validation),
        "test": dataclasses.asdict(finished.test) if finished.test else None,
        "temperature": finished.temperature,
        "only_answer": finished.validation.only_answer,
        "file": {"sha256": finished.digest, "bytes": len(finished.data)},
    }
    path.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _weights(run: Run, data: TaskData) -> dict[str, float] | None:
    if run.class_weights is None:
        return None
    return dict(zip(data.labels, run.class_weights.tolist(), strict=True))


def _data_facts(run: Run, data: TaskData) -> dict[str, Any]:
    return {
        "sha256": data.sha256,
        "labels": list(data.labels),
        "rows": {name: len(part) for name, part in data.parts.items()},
        "train_rows_by_label": run.kind.label_counts(data.labels, data.train.truths),
    }
