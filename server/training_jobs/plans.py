"""Plans of one run: what a tenant requests, within the operator's limits."""

import os
from collections.abc import Mapping
from typing import Any

from server.settings import Settings
from server.training_jobs.records import JobRequest
from training.service.protocol.messages import JobPlan


def new_plan(
    request: JobRequest, rows: Mapping[str, str], settings: Settings, *, device: str
) -> JobPlan:
    """Make the plan of a training.

    `rows` has the names of the labeled files in the training's folder, by part.
    """
    return JobPlan(
        runs=(_run(request, rows, settings),),
        backbone=_absolute(settings.backbone),
        device=device,
        linear_kernel=settings.linear_kernel,
        attention_kernel=settings.attention_kernel,
    )


def _run(request: JobRequest, rows: Mapping[str, str], settings: Settings) -> dict[str, Any]:
    steps = settings.max_training_steps
    return {
        **request.config,
        **rows,
        "task": f"{request.tenant}/{request.task}",
        "max_steps": min(request.config.get("max_steps") or steps, steps),
    }


def _absolute(backbone: str) -> str:
    """Name a backbone so that a process with another working directory finds it."""
    return os.path.abspath(backbone) if os.path.isdir(backbone) else backbone  # noqa: PTH100, PTH112 - may be the name of a model
