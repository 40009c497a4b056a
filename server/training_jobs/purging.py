"""Removes deleted tenants once their grace period has passed."""

import logging
from datetime import datetime
from typing import Final

from prefixes.registry import Actor, PrefixRegistry, Tenants
from server.training_jobs.cleanup import remove_trainings
from server.training_jobs.folders import TrainingFolders
from server.training_jobs.store import TrainingStore

_RETENTION: Final = Actor("retention")
_MAX_TRAININGS: Final = 100_000

_log = logging.getLogger(__name__)


def purge_tenants(
    registry: PrefixRegistry, store: TrainingStore, folders: TrainingFolders, before: datetime
) -> None:
    """Remove the tenants that were deleted before a moment, with everything that they own.

    A tenant with a training that has not stopped yet is removed by a later call.

    Raises:
        StoreUnavailable: when the database cannot be used.
    """
    for name in Tenants(registry.database).deleted_before(before):
        trainings = store.list(name, before=None, limit=_MAX_TRAININGS)
        finished = [training.id for training in trainings if training.is_finished]
        remove_trainings(store, folders, finished)
        if registry.purge_tenant(name, before=before, by=_RETENTION):
            _log.info("removed the tenant %s, which was deleted", name)
