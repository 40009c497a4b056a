"""The commands `key create`, `key list`, `key rotate`, `key revoke` and `key generate`."""

# ruff: noqa: PLC0415 - `--help` does not need SQLAlchemy

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from server.command_line.json_output import AsJson, print_json
from server.command_line.store_folder import StoreFolder, load_settings, open_store

if TYPE_CHECKING:
    from datetime import datetime

    from prefixes.registry import ApiKey, PrefixRegistry

KeyId = Annotated[str, typer.Argument(help="Id of the key, as `key list` prints it.")]
Days = Annotated[
    int | None,
    typer.Option(help="Days until the key expires. By default it never does.", min=1, max=3650),
]


class KeyRole(StrEnum):
    """Each role includes the ones before it. Only `operator` has no tenant."""

    INFER = "infer"
    UPLOAD = "upload"
    ADMIN = "admin"
    OPERATOR = "operator"


def create_key(  # noqa: PLR0917 - typer passes all by name
    tenant: Annotated[
        str | None, typer.Argument(help="Name of the tenant. Omit it for an operator.")
    ] = None,
    role: Annotated[KeyRole, typer.Option(help="Role of the key.")] = KeyRole.ADMIN,
    label: Annotated[str, typer.Option(help="A note on what the key is for.")] = "",
    expires_in_days: Days = None,
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

    if (tenant is None) != (role is KeyRole.OPERATOR):
        raise typer.BadParameter(
            "A key needs either a tenant or the role `operator`. Pass one of the two."
        )
    with open_store(load_settings(store_folder)) as registry:
        if tenant is not None:
            _ensure_tenant(registry, tenant, is_public)
        keys = ApiKeys(registry.database)
        expires_at = _moment_in(expires_in_days)
        typer.echo(keys.issue(tenant, label, role=role.value, expires_at=expires_at).key)


def list_keys(
    tenant: Annotated[
        str | None, typer.Argument(help="Name of the tenant. Omit it for operators' keys.")
    ] = None,
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    store_folder: StoreFolder = None,
) -> None:
    """List API keys of a tenant or of operators.

    The columns are id, time of creation, state, role, last use and label.
    """
    from prefixes.registry import ApiKeys
    from prefixes.registry.tables import now

    with open_store(load_settings(store_folder)) as registry:
        if tenant is not None:
            registry.tenant(tenant)
        found = ApiKeys(registry.database).list(tenant)
        if as_json:
            print_json([_fields(key, now()) for key in found])
            return
        for key in found:
            typer.echo("\t".join(_cells(key, now())))


def rotate_key(
    key_id: KeyId,
    overlap_hours: Annotated[
        int, typer.Option(help="Hours for which the old key stays valid.", min=0, max=2160)
    ] = 24,
    expires_in_days: Days = None,
    store_folder: StoreFolder = None,
) -> None:
    """Replace an API key with a new one, which is printed.

    The new key has the same role, label and limits. The old one expires after the overlap.
    """
    from datetime import timedelta

    from prefixes.registry import ApiKeys

    with open_store(load_settings(store_folder)) as registry:
        typer.echo(
            ApiKeys(registry.database)
            .rotate(
                key_id,
                overlap=timedelta(hours=overlap_hours),
                expires_at=_moment_in(expires_in_days),
            )
            .key
        )


def revoke_key(key_id: KeyId, store_folder: StoreFolder = None) -> None:
    """Revoke an API key. The server rejects it from then on."""
    from prefixes.registry import ApiKeys

    with open_store(load_settings(store_folder)) as registry:
        ApiKeys(registry.database).revoke(key_id)
        typer.echo(f"Revoked the key {key_id}.")


def generate_key() -> None:
    """Print a new key for POLYPREFIX_OPERATOR_KEY. It is not stored anywhere."""
    from prefixes.registry.key_rows import new_key

    typer.echo(new_key())


def _ensure_tenant(registry: "PrefixRegistry", name: str, is_public: bool | None) -> None:  # noqa: FBT001 - as typer gives it
    known = {item.name for item in registry.tenants()}
    if name not in known or is_public is not None:
        registry.ensure_tenant(name, is_public=bool(is_public))


def _moment_in(days: int | None) -> "datetime | None":
    from datetime import timedelta

    from prefixes.registry.tables import now

    return None if days is None else now() + timedelta(days=days)


def _cells(key: "ApiKey", moment: "datetime") -> tuple[str, ...]:
    state = key.state(moment)
    ended = key.revoked_at if state == "revoked" else key.expires_at
    shown = state if ended is None else f"{state} {ended:%Y-%m-%d}"
    if state == "valid" and ended is not None:
        shown = f"valid until {ended:%Y-%m-%d %H:%M}"
    used = "never used" if key.last_used_at is None else f"used {key.last_used_at:%Y-%m-%d %H:%M}"
    return key.id, f"{key.created_at:%Y-%m-%d %H:%M}", shown, key.role, used, key.label


def _fields(key: "ApiKey", moment: "datetime") -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(key) | {"state": key.state(moment)}
