"""Describes a training to its workers."""

from collections.abc import Mapping

from server.settings import Settings
from server.training_jobs.placement import Placement
from server.training_jobs.plans import new_plan
from server.training_jobs.records import TrainingJob
from training.service.protocol.messages import Job


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
    return Job(
        plan=new_plan(training.request, rows, settings, device=placement.device),
        memory_share=placement.memory_share,
        num_threads=num_threads,
        live_version=live_version,
        has_live=live_version is not None,
        kernel_cache=str(settings.kernel_cache.absolute()),
    )
