"""The digests of deleted versions: the only blobs that a sweep may remove."""

from collections.abc import Collection

from sqlalchemy import Connection, bindparam, delete, insert, select

from prefixes.registry.tables import deleted_blobs, now

_FORGET = delete(deleted_blobs).where(deleted_blobs.c.digest == bindparam("gone"))


def note_deleted(connection: Connection, digests: Collection[str]) -> None:
    """Record that versions with these digests were deleted now."""
    if not digests:
        return
    moment = now()
    forget_deleted(connection, digests)
    rows = [{"digest": digest, "deleted_at": moment} for digest in digests]
    connection.execute(insert(deleted_blobs), rows)


def find_deleted(connection: Connection) -> dict[str, float]:
    """Find when the versions of each digest were last deleted, in seconds since the epoch."""
    rows = connection.execute(select(deleted_blobs.c.digest, deleted_blobs.c.deleted_at))
    return {digest: moment.timestamp() for digest, moment in rows}


def forget_deleted(connection: Connection, digests: Collection[str]) -> None:
    """Remove the records of deletions whose bytes are gone or in use again."""
    if digests:
        connection.execute(_FORGET, [{"gone": digest} for digest in digests])
