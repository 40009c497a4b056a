"""The commands `tenant create`, `list`, `change`, `suspend`, `resume` and `delete`."""

# ruff: noqa: PLC0415 - `--help` does not need SQLAlchemy

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import Field, asdict
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Protocol

import typer

from server.command_line.flag_groups import expand_flags
from server.command_line.json_output import AsJson, print_json
from server.command_line.next_step import suggest
from server.command_line.place import Place, open_place

if TYPE_CHECKING:
    from prefixes.registry import PrefixRegistry, Tenant

Name = Annotated[str, typer.Argument(help="Name of the tenant.")]
_IS_PUBLIC: Final = "Whether anyone may use and download the tenant's prefixes without a key."


class TenantFields(Protocol):
    """A tenant of a store or of a server."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def name(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def is_public(self) -> bool: ...


class TenantManager(Protocol):
    """The tenants of a store or of a server."""

    def create(self, name: str, /, *, is_public: bool) -> TenantFields: ...
    def list(self) -> Iterable[TenantFields]: ...
    def set_public(self, name: str, /, *, is_public: bool) -> TenantFields: ...
    def suspend(self, name: str, /) -> TenantFields: ...
    def resume(self, name: str, /) -> TenantFields: ...
    def delete(self, name: str, /) -> TenantFields: ...


@expand_flags
def create_tenant(
    name: Name,
    is_public: Annotated[bool, typer.Option("--public/--private", help=_IS_PUBLIC)] = False,  # noqa: FBT002 - as typer gives it
    as_json: AsJson = False,  # noqa: FBT002 - as above
    *,
    place: Place,
) -> None:
    """Create a tenant."""
    with _tenants(place) as tenants:
        _show(tenants.create(name, is_public=is_public), as_json=as_json)
    suggest("key", "create", name, as_json=as_json)


@expand_flags
def list_tenants(
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    *,
    place: Place,
) -> None:
    """List all tenants: name, state and visibility."""
    with _tenants(place) as tenants:
        found = list(tenants.list())
    if as_json:
        print_json([_fields(tenant) for tenant in found])
        return
    for tenant in found:
        typer.echo(_line(tenant))


@expand_flags
def change_tenant(
    name: Name,
    is_public: Annotated[bool, typer.Option("--public/--private", help=_IS_PUBLIC)],
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    *,
    place: Place,
) -> None:
    """Make a tenant public or private. Applies to the next request."""
    with _tenants(place) as tenants:
        _show(tenants.set_public(name, is_public=is_public), as_json=as_json)


@expand_flags
def suspend_tenant(
    name: Name,
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    *,
    place: Place,
) -> None:
    """Reject the keys of a tenant until it is resumed. Hides its prefixes from others."""
    with _tenants(place) as tenants:
        _show(tenants.suspend(name), as_json=as_json)
    suggest("tenant", "resume", name, as_json=as_json)


@expand_flags
def resume_tenant(
    name: Name,
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    *,
    place: Place,
) -> None:
    """Undo the suspension or the deletion of a tenant."""
    with _tenants(place) as tenants:
        _show(tenants.resume(name), as_json=as_json)


@expand_flags
def delete_tenant(
    name: Name,
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    *,
    place: Place,
) -> None:
    """Delete a tenant. The server removes its data after POLYPREFIX_DELETED_TENANT_DAYS."""
    with _tenants(place) as tenants:
        _show(tenants.delete(name), as_json=as_json)
    suggest("tenant", "resume", name, as_json=as_json)


def _tenants(place: Place) -> AbstractContextManager[TenantManager]:
    return open_place(place, _StoredTenants, lambda client: client.tenants)


class _StoredTenants:
    """The tenants of a store, changed by the command line."""

    def __init__(self, registry: "PrefixRegistry") -> None:
        from prefixes.registry import COMMAND_LINE, Tenants

        self._tenants = Tenants(registry.database)
        self._by = COMMAND_LINE

    def create(self, name: str, *, is_public: bool) -> "Tenant":
        return self._tenants.create(name, is_public=is_public, by=self._by)

    def list(self) -> "tuple[Tenant, ...]":
        return self._tenants.list()

    def set_public(self, name: str, *, is_public: bool) -> "Tenant":
        return self._tenants.set_public(name, is_public=is_public, by=self._by)

    def suspend(self, name: str) -> "Tenant":
        return self._tenants.suspend(name, by=self._by)

    def resume(self, name: str) -> "Tenant":
        return self._tenants.resume(name, by=self._by)

    def delete(self, name: str) -> "Tenant":
        return self._tenants.delete(name, by=self._by)


def _show(tenant: TenantFields, *, as_json: bool) -> None:
    if as_json:
        print_json(_fields(tenant))
    else:
        typer.echo(_line(tenant))


def _line(tenant: TenantFields) -> str:
    visibility = "public" if tenant.is_public else "private"
    return f"{tenant.name}\t{tenant.state}\t{visibility}"


def _fields(tenant: TenantFields) -> dict[str, Any]:
    return asdict(tenant) | {"state": tenant.state}
