"""The rows of tenants: creating, finding and listing them within a transaction."""

from sqlalchemy import Connection, insert, select, update

from prefixes.errors import TenantNotFound
from prefixes.names import check_name
from prefixes.registry.tables import now, tenants
from prefixes.registry.values import Tenant

_TENANTS = select(tenants.c.name, tenants.c.is_public).order_by(tenants.c.name)


def set_tenant(connection: Connection, name: str, *, is_public: bool) -> Tenant:
    """Create a tenant, or set whether the existing one is public.

    Raises:
        InvalidName: when the name is not valid.
    """
    here = tenants.c.name == check_name("tenant", name)
    found = connection.scalar(select(tenants.c.is_public).where(here))
    if found is None:
        connection.execute(insert(tenants).values(name=name, is_public=is_public, created_at=now()))
    elif found != is_public:  # avoids a needless write: a server must start on a full disk
        connection.execute(update(tenants).where(here).values(is_public=is_public))
    return Tenant(name, is_public)


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
        raise _no_tenant(name)
    return Tenant(*row)


def find_tenant_id(connection: Connection, name: str) -> int:
    """Read the primary key of a tenant's row.

    Raises:
        TenantNotFound: when no tenant has that name.
    """
    found: int | None = connection.scalar(select(tenants.c.id).where(tenants.c.name == name))
    if found is None:
        raise _no_tenant(name)
    return found


def _no_tenant(name: str) -> TenantNotFound:
    return TenantNotFound(f"There is no tenant {name[:80]!r}: create it first, or check its name")
