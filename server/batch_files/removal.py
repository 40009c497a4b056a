"""Removes batch files: their folders and their rows in the database."""

from prefixes.registry import Actor
from server.batch_files.folders import BatchFolders
from server.batch_files.store import RETENTION, BatchStore, running_error


def remove_batch(
    store: BatchStore,
    folders: BatchFolders,
    batch_id: str,
    *,
    tenant: str | None = None,
    by: Actor = RETENTION,
) -> None:
    """Remove a batch file that does not run. A queued one is cancelled first.

    The folder goes first: a folder whose row is gone is never deleted.

    Raises:
        ActingKeyInvalid: when the key of the request became invalid.
        BatchNotFound: when the tenant does not have it.
        BatchRunning: when it runs.
        StoreUnavailable: when the database cannot be used.
    """
    found = store.find(tenant, batch_id)
    if found.state == "running" or not store.cancel(tenant, batch_id, by=by).is_finished:
        raise running_error()
    folders.of(batch_id).remove()
    store.remove(batch_id, by=by, tenant=tenant)
