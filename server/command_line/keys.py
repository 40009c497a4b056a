"""The commands `key create`, `key list` and `key revoke`."""

# ruff: noqa: PLC0415 - `--help` does not need SQLAlchemy

from typing import Annotated

import typer

from server.command_line.store_folder import StoreFolder, load_settings, open_store

Tenant = Annotated[str, typer.Argument(help="Name of the tenant.")]


def create_key(
    tenant: Tenant,
    label: Annotated[str, typer.Option(help="A note on what the key is for.")] = "",
    is_public: Annotated[
        bool | None,
        typer.Option(
            "--public/--private",
            help="Whether anyone may use and download the tenant's prefixes without a key. A "
            "prefix file contains rows of its training data as golden examples, unless it was "
            "trained with golden_inputs=made_up.",
        ),
    ] = None,
    store_folder: StoreFolder = None,
) -> None:
    """Create an API key, and the tenant if it does not exist. The key is printed only once."""
    from prefixes.registry import ApiKeys

    with open_store(load_settings(store_folder)) as registry:
        known = {item.name for item in registry.tenants()}
        if tenant not in known or is_public is not None:
            registry.ensure_tenant(tenant, is_public=bool(is_public))
        typer.echo(ApiKeys(registry.database).issue(tenant, label))


def list_keys(tenant: Tenant, store_folder: StoreFolder = None) -> None:
    """List a tenant's API keys: id, time of creation, state and label."""
    from prefixes.registry import ApiKeys

    with open_store(load_settings(store_folder)) as registry:
        registry.tenant(tenant)
        for key in ApiKeys(registry.database).list(tenant):
            state = "valid" if key.revoked_at is None else f"revoked {key.revoked_at:%Y-%m-%d}"
            typer.echo(f"{key.id}\t{key.created_at:%Y-%m-%d %H:%M}\t{state}\t{key.label}")


def revoke_key(
    key_id: Annotated[str, typer.Argument(help="Id of the key, as `key list` prints it.")],
    store_folder: StoreFolder = None,
) -> None:
    """Revoke an API key. The server rejects it from then on."""
    from prefixes.registry import ApiKeys

    with open_store(load_settings(store_folder)) as registry:
        ApiKeys(registry.database).revoke(key_id)
        typer.echo(f"Revoked the key {key_id}.")
