"""The commands `tenant create`, `list`, `change`, `suspend`, `resume` and `delete`."""

# ruff: noqa: PLC0415 - `--help` does not need SQLAlchemy

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from server.command_line.json_output import AsJson, print_json
from server.command_line.store_folder import StoreFolder, load_settings, open_store

if TYPE_CHECKING:
    from prefixes.registry import Tenant, Tenants

Name = Annotated[str, typer.Argument(help="Name of the tenant.")]
_IS_PUBLIC: Final = "Whether anyone may use and download the tenant's prefixes without a key."


def create_tenant(
    name: Name,
    is_public: Annotated[bool, typer.Option("--public/--private", help=_IS_PUBLIC)] = False,  # noqa: FBT002 - as typer gives it
    store_folder: StoreFolder = None,
) -> None:
    """Create a tenant."""
    from prefixes.registry import COMMAND_LINE

    with _tenants(store_folder) as tenants:
        typer.echo(_line(tenants.create(name, is_public=is_public, by=COMMAND_LINE)))


def list_tenants(
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    store_folder: StoreFolder = None,
) -> None:
    """List all tenants: name, state and visibility."""
    with _tenants(store_folder) as tenants:
        found = tenants.list()
        if as_json:
            print_json([_fields(tenant) for tenant in found])
            return
        for tenant in found:
            typer.echo(_line(tenant))


def change_tenant(
    name: Name,
    is_public: Annotated[bool, typer.Option("--public/--private", help=_IS_PUBLIC)],
    store_folder: StoreFolder = None,
) -> None:
    """Make a tenant public or private. Applies to the next request."""
    from prefixes.registry import COMMAND_LINE

    with _tenants(store_folder) as tenants:
        typer.echo(_line(tenants.set_public(name, is_public=is_public, by=COMMAND_LINE)))


def suspend_tenant(name: Name, store_folder: StoreFolder = None) -> None:
    """Reject the keys of a tenant until it is resumed. Hides its prefixes from others."""
    from prefixes.registry import COMMAND_LINE

    with _tenants(store_folder) as tenants:
        typer.echo(_line(tenants.suspend(name, by=COMMAND_LINE)))


def resume_tenant(name: Name, store_folder: StoreFolder = None) -> None:
    """Undo the suspension or the deletion of a tenant."""
    from prefixes.registry import COMMAND_LINE

    with _tenants(store_folder) as tenants:
        typer.echo(_line(tenants.resume(name, by=COMMAND_LINE)))


def delete_tenant(name: Name, store_folder: StoreFolder = None) -> None:
    """Delete a tenant. The server removes its data after POLYPREFIX_DELETED_TENANT_DAYS."""
    from prefixes.registry import COMMAND_LINE

    with _tenants(store_folder) as tenants:
        typer.echo(_line(tenants.delete(name, by=COMMAND_LINE)))


@contextmanager
def _tenants(store_folder: StoreFolder) -> Iterator["Tenants"]:
    from prefixes.registry import Tenants

    with open_store(load_settings(store_folder)) as registry:
        yield Tenants(registry.database)


def _line(tenant: "Tenant") -> str:
    visibility = "public" if tenant.is_public else "private"
    return f"{tenant.name}\t{tenant.state}\t{visibility}"


def _fields(tenant: "Tenant") -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(tenant) | {"state": tenant.state}
