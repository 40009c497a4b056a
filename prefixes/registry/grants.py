"""The rows that let other tenants, or everyone, read a task."""

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, select, update

from prefixes.registry.tables import grants, prefixes
from prefixes.registry.values import Readers


def find_readers(
    connection: Connection, prefix_id: int, *, after: str = "", limit: int | None = None
) -> Readers:
    """Find who may read a task in addition to its owner, by name.

    `after` is the last name of the previous page. A `limit` of None finds all.
    """
    is_public = connection.scalar(select(prefixes.c.is_public).where(prefixes.c.id == prefix_id))
    is_theirs = (grants.c.prefix_id == prefix_id, grants.c.reader > after)
    query = select(grants.c.reader).where(*is_theirs).order_by(grants.c.reader).limit(limit)
    names = connection.scalars(query)
    return Readers(is_public=bool(is_public), tenants=tuple(names))


def add_reader(connection: Connection, prefix_id: int, reader: str) -> bool:
    """Let a tenant read a task; return false if it may already."""
    query = select(grants.c.reader).where(_of(prefix_id, reader))
    if connection.scalar(query) is not None:
        return False
    connection.execute(insert(grants).values(prefix_id=prefix_id, reader=reader))
    return True


def remove_reader(connection: Connection, prefix_id: int, reader: str) -> bool:
    """Remove a tenant from the readers of a task; return false if it was none of them."""
    return connection.execute(delete(grants).where(_of(prefix_id, reader))).rowcount > 0


def set_public(connection: Connection, prefix_id: int, *, is_public: bool) -> bool:
    """Set whether everyone may read a task; return false if that is so already."""
    row = (prefixes.c.id == prefix_id, prefixes.c.is_public != is_public)
    return connection.execute(update(prefixes).where(*row).values(is_public=is_public)).rowcount > 0


def remove_readers(connection: Connection, prefix_id: int) -> None:
    """Let only the owner read a task."""
    connection.execute(delete(grants).where(grants.c.prefix_id == prefix_id))
    set_public(connection, prefix_id, is_public=False)


def _of(prefix_id: int, reader: str) -> ColumnElement[bool]:
    return and_(grants.c.prefix_id == prefix_id, grants.c.reader == reader)
