"""Queues trainings, however their files arrive."""

import logging
from collections.abc import Awaitable, Callable
from functools import partial

from prefixes.errors import StoreUnavailable
from prefixes.registry import Actor
from server.api.services import Services
from server.job_ids import new_id
from server.training_jobs.cleanup import remove_trainings
from server.training_jobs.folders import TrainingFolder
from server.training_jobs.records import JobRequest, TrainingJob

_log = logging.getLogger(__name__)


async def queue_training(
    services: Services,
    tenant: str,
    fill: Callable[[TrainingFolder], Awaitable[JobRequest]],
    *,
    by: Actor,
) -> TrainingJob:
    """Queue a training, and remove the tenant's oldest finished ones beyond the limit.

    Args:
        services: those of the server.
        tenant: the owner.
        fill: makes the folder, writes the files into it, and returns the request. If it fails, the
            folder is removed.
        by: who starts it.

    Raises:
        Overloaded, LimitExceeded, QuotaExceeded: when the tenant may not start a training.
    """
    await services.read(partial(services.trainings.check_queue, tenant))
    training_id = new_id()
    folder = services.training_folders.of(training_id)
    is_queued = False
    try:
        request = await fill(folder)
        await services.write(folder.hand_over)
        training = await services.write(
            partial(services.trainings.add, training_id, request, by=by)
        )
        is_queued = True
    finally:
        if not is_queued:
            await services.write(folder.remove)
    await services.write(partial(_remove_oldest, services, tenant))
    return training


def _remove_oldest(services: Services, tenant: str) -> None:
    try:
        remove_trainings(
            services.trainings, services.training_folders, services.trainings.beyond_limit(tenant)
        )
    except StoreUnavailable as error:  # the new training is queued nevertheless
        _log.warning(
            "cannot remove old trainings of %s before the next one is queued: %s", tenant, error
        )
