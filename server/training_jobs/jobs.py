"""Jobs: what a worker is told of its training, in its own terms."""

import os
from collections.abc import Mapping
from typing import Any

from server.settings import Settings
from server.training_jobs.placement import Placement
from server.training_jobs.records import TrainingJob


def job_of(
    training: TrainingJob,
    rows: Mapping[str, str],
    settings: Settings,
    *,
    placement: Placement,
    num_threads: int,
    live_version: int | None,
) -> dict[str, Any]:
    """Lay out a job: a plan of one run, within an operator's bounds.

    `rows` has the names of the labelled files in the training's folder, by what they are for.
    """
    request = training.request
    steps = settings.max_training_steps
    config = {
        **request.config,
        **rows,
        "task": f"{request.tenant}/{request.task}",
        "max_steps": min(request.config.get("max_steps") or steps, steps),
    }
    plan = {
        "runs": [config],
        "backbone": _absolute(settings.backbone),
        "device": placement.device,
    }
    return {
        "plan": plan,
        "memory_share": placement.memory_share,
        "num_threads": num_threads,
        "live_version": live_version,
    }


def _absolute(backbone: str) -> str:
    """Name a backbone so that a process in another folder finds it."""
    return os.path.abspath(backbone) if os.path.isdir(backbone) else backbone  # noqa: PTH100, PTH112 - may be no path at all
