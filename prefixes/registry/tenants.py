"""Tenants: creating, changing, suspending and deleting the owners of prefixes."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, insert, select, update

from prefixes.errors import TenantExists, TenantNotFound
from prefixes.names import check_name
from prefixes.registry.audit import Action, record
from prefixes.registry.database import Database
from prefixes.registry.tables import now, tenants, trainings
from prefixes.registry.values import COMMAND_LINE, Actor, Tenant

_TENANTS: Final = select(
    tenants.c.name,
    tenants.c.is_public,
    tenants.c.created_at,
    tenants.c.suspended_at,
    tenants.c.deleted_at,
).order_by(tenants.c.name)


class Tenants:
    """The tenants, and their changes. Safe to use from many threads.

    Every method raises StoreUnavailable when the database cannot be used.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, *, after: str = "", limit: int | None = None) -> tuple[Tenant, ...]:
        """List tenants by name, those that are suspended or deleted included.

        Args:
            after: the last name of the previous page.
            limit: maximum number of tenants; None for all.
        """
        query = _TENANTS.where(tenants.c.name > after).limit(limit)
        with self._database.read() as connection:
            return tuple(Tenant(*row) for row in connection.execute(query))

    def find(self, name: str) -> Tenant:
        """Read a tenant, also a deleted one.

        Raises:
            TenantNotFound: when no tenant has that name.
        """
        with self._database.read() as connection:
            return find_tenant(connection, name)

    def create(self, name: str, *, is_public: bool, by: Actor) -> Tenant:
        """Create a tenant.

        Raises:
            InvalidName: when the name is not valid.
            TenantExists: when a tenant has this name, also if it is deleted but not yet removed.
        """
        with self._database.write() as connection:
            here = tenants.c.name == check_name("tenant", name)
            if connection.scalar(select(tenants.c.id).where(here)) is not None:
                raise TenantExists(
                    f"The tenant {name!r} exists already, or is deleted and not removed yet: "
                    "choose another name, or resume the tenant"
                )
            return _insert(connection, name, is_public=is_public, by=by)

    def set_public(self, name: str, *, is_public: bool, by: Actor) -> Tenant:
        """Set whether everyone may read the prefixes of a tenant.

        Raises:
            TenantNotFound: when no tenant has that name.
        """

        def change(connection: Connection) -> Tenant:
            found = find_tenant(connection, name)
            if found.is_public == is_public:
                return found
            return _change(connection, name, {"is_public": is_public}, "tenant.update", by)

        return self._database.free(change)  # access must end on a full disk, too

    def suspend(self, name: str, *, by: Actor) -> Tenant:
        """Reject the keys of a tenant and hide its prefixes from others, until it is resumed.

        Raises:
            TenantNotFound: when no tenant has that name.
        """

        def suspend(connection: Connection) -> Tenant:
            found = find_tenant(connection, name)
            if found.suspended_at is not None:
                return found
            return _change(connection, name, {"suspended_at": now()}, "tenant.suspend", by)

        return self._database.free(suspend)  # must not wait for space on a full disk

    def resume(self, name: str, *, by: Actor) -> Tenant:
        """Undo the suspension or the deletion of a tenant.

        Raises:
            TenantNotFound: when no tenant has that name.
        """
        values = {"suspended_at": None, "deleted_at": None}
        with self._database.write() as connection:
            found = find_tenant(connection, name)
            if found.state == "active":
                return found
            return _change(connection, name, values, "tenant.resume", by)

    def delete(self, name: str, *, by: Actor) -> Tenant:
        """Delete a tenant: its keys are rejected and its prefixes hidden, until it is purged.

        Its queued trainings are canceled, and the running ones are told to stop.

        Raises:
            TenantNotFound: when no tenant has that name.
        """

        def remove(connection: Connection) -> Tenant:
            found = find_tenant(connection, name)
            if found.deleted_at is not None:
                return found
            _cancel_trainings(connection, name)
            return _change(connection, name, {"deleted_at": now()}, "tenant.delete", by)

        return self._database.free(remove)

    def deleted_before(self, moment: datetime) -> tuple[str, ...]:
        """Return the names of the tenants that were deleted before a moment."""
        with self._database.read() as connection:
            query = select(tenants.c.name).where(tenants.c.deleted_at < moment)
            return tuple(connection.scalars(query))


def set_tenant(
    connection: Connection, name: str, *, is_public: bool, by: Actor = COMMAND_LINE
) -> Tenant:
    """Create a tenant, or set whether the existing one is public.

    Raises:
        InvalidName: when the name is not valid.
    """
    here = tenants.c.name == check_name("tenant", name)
    found = connection.scalar(select(tenants.c.is_public).where(here))
    if found is None:
        return _insert(connection, name, is_public=is_public, by=by)
    if found != is_public:  # avoids a needless write: a server must start on a full disk
        return _change(connection, name, {"is_public": is_public}, "tenant.update", by)
    return find_tenant(connection, name)


def find_tenants(connection: Connection) -> tuple[Tenant, ...]:
    """List all tenants, sorted by name."""
    return tuple(Tenant(*row) for row in connection.execute(_TENANTS))


def find_tenant(connection: Connection, name: str) -> Tenant:
    """Read a tenant.

    Raises:
        TenantNotFound: when no tenant has that name.
    """
    row = connection.execute(_TENANTS.where(tenants.c.name == name)).one_or_none()
    if row is None:
        raise no_tenant(name)
    return Tenant(*row)


def find_tenant_id(connection: Connection, name: str) -> int:
    """Read the primary key of the row of a tenant that is not deleted.

    Raises:
        TenantNotFound: when no tenant has that name.
    """
    row = connection.execute(
        select(tenants.c.id, tenants.c.deleted_at).where(tenants.c.name == name)
    ).one_or_none()
    if row is None:
        raise no_tenant(name)
    if row.deleted_at is not None:
        raise TenantNotFound(f"The tenant {name!r} is deleted: resume it first, or use another")
    found: int = row.id
    return found


def no_tenant(name: str) -> TenantNotFound:
    """Make the error for a missing tenant, which callers of other tenants get, too."""
    return TenantNotFound(f"There is no tenant {name[:80]!r}: create it first, or check its name")


def _insert(connection: Connection, name: str, *, is_public: bool, by: Actor) -> Tenant:
    connection.execute(insert(tenants).values(name=name, is_public=is_public, created_at=now()))
    after = {"is_public": is_public}
    record(connection, by, "tenant.create", name, tenant=name, after=after)
    return find_tenant(connection, name)


def _change(
    connection: Connection, name: str, values: Mapping[str, Any], action: Action, by: Actor
) -> Tenant:
    before = find_tenant(connection, name)
    connection.execute(update(tenants).where(tenants.c.name == name).values(**values))
    record(
        connection,
        by,
        action,
        name,
        tenant=name,
        before={field: getattr(before, field) for field in values},
        after=values,
    )
    return find_tenant(connection, name)


def _cancel_trainings(connection: Connection, tenant: str) -> None:
    owned = trainings.c.tenant_id.in_(select(tenants.c.id).where(tenants.c.name == tenant))
    is_queued, is_running = trainings.c.state == "queued", trainings.c.state == "running"
    canceled = {"state": "cancelled", "ended_at": now()}
    connection.execute(update(trainings).where(owned, is_queued).values(**canceled))
    connection.execute(update(trainings).where(owned, is_running).values(is_cancelling=True))
