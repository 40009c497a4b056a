"""Removes finished trainings: their folders and their rows in the database."""

import logging
from collections.abc import Sequence

from server.training_jobs.folders import TrainingFolders
from server.training_jobs.store import TrainingStore

_log = logging.getLogger(__name__)


def remove_trainings(store: TrainingStore, folders: TrainingFolders, ids: Sequence[str]) -> None:
    """Remove the folders, then the rows: a folder whose row is gone is never deleted.

    Raises:
        StoreUnavailable: when the database cannot be used. A later call removes the rows.
    """
    for training_id in ids:
        folders.of(training_id).remove()
        _log.info("removed training %s, which had finished", training_id)
    if ids:
        store.remove(ids)
