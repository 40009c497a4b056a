"""Describes a training to its workers."""

import os
from collections.abc import Mapping

from server.settings import Settings
from server.training_jobs.placement import Placement
from server.training_jobs.records import TrainingJob
from training.service.protocol.messages import Job, JobPlan


def new_job(
    training: TrainingJob,
    rows: Mapping[str, str],
    settings: Settings,
    *,
    placement: Placement,
    num_threads: int,
    live_version: int | None,
) -> Job:
    """Describe a job: a plan of one run, within the operator's limits.

    `rows` has the names of the labeled files in the training's folder, by part.
    """
    request = training.request
    steps = settings.max_training_steps
    run = {
        **request.config,
        **rows,
        "task": f"{request.tenant}/{request.task}",
        "max_steps": min(request.config.get("max_steps") or steps, steps),
    }
    plan = JobPlan(
        runs=(run,),
        backbone=_absolute(settings.backbone),
        device=placement.device,
        linear_kernel=settings.linear_kernel,
        attention_kernel=settings.attention_kernel,
    )
    return Job(
        plan=plan,
        memory_share=placement.memory_share,
        num_threads=num_threads,
        live_version=live_version,
        has_live=live_version is not None,
        kernel_cache=str(settings.kernel_cache.absolute()),
    )


def _absolute(backbone: str) -> str:
    """Name a backbone so that a process with another working directory finds it."""
    return os.path.abspath(backbone) if os.path.isdir(backbone) else backbone  # noqa: PTH100, PTH112 - may be the name of a model
