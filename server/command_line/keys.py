"""The commands `key create`, `key list`, `key rotate`, `key revoke` and `key generate`."""

# ruff: noqa: PLC0415 - `--help` does not need SQLAlchemy

from contextlib import AbstractContextManager
from dataclasses import Field, asdict
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol

import typer

from server.command_line.flag_groups import expand_flags
from server.command_line.json_output import AsJson, print_json
from server.command_line.next_step import suggest
from server.command_line.place import Place, open_place

if TYPE_CHECKING:
    from collections.abc import Iterable

KeyId = Annotated[str, typer.Argument(help="Id of the key, as `key list` prints it.")]
OfTenant = Annotated[
    str | None,
    typer.Option(
        "--tenant", help="Tenant of the key, on a server. Omit it for the key of an operator."
    ),
]
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


class KeyFields(Protocol):
    """An API key of a store or of a server, without its secret."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def id(self) -> str: ...
    @property
    def role(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def expires_at(self) -> datetime | None: ...
    @property
    def revoked_at(self) -> datetime | None: ...
    @property
    def last_used_at(self) -> datetime | None: ...


class KeyManager(Protocol):
    """The keys of a store or of a server."""

    def create(
        self, tenant: str | None, role: str, label: str, days: int | None, *, is_public: bool | None
    ) -> tuple[str, Any]: ...
    def list(self, tenant: str | None) -> "Iterable[tuple[KeyFields, str]]": ...
    def rotate(
        self, tenant: str | None, key_id: str, *, overlap_hours: int, days: int | None
    ) -> tuple[str, Any]: ...
    def revoke(self, tenant: str | None, key_id: str) -> None: ...


@expand_flags
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
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    *,
    place: Place,
) -> None:
    """Create an API key, and the tenant if it does not exist. The key is printed only once."""
    if (tenant is None) != (role is KeyRole.OPERATOR):
        raise typer.BadParameter(
            "A key needs either a tenant or the role `operator`. Pass one of the two."
        )
    with _keys(place) as keys:
        made = keys.create(tenant, role.value, label, expires_in_days, is_public=is_public)
    _show(*made, as_json=as_json)


@expand_flags
def list_keys(
    tenant: Annotated[
        str | None, typer.Argument(help="Name of the tenant. Omit it for operators' keys.")
    ] = None,
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    *,
    place: Place,
) -> None:
    """List API keys of a tenant or of operators.

    The columns are id, time of creation, state, role, last use and label.
    """
    with _keys(place) as keys:
        found = list(keys.list(tenant))
    if as_json:
        print_json([asdict(key) | {"state": state} for key, state in found])
        return
    for key, state in found:
        typer.echo("\t".join(_cells(key, state)))


@expand_flags
def rotate_key(
    key_id: KeyId,
    overlap_hours: Annotated[
        int, typer.Option(help="Hours for which the old key stays valid.", min=0, max=2160)
    ] = 24,
    expires_in_days: Days = None,
    tenant: OfTenant = None,
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    *,
    place: Place,
) -> None:
    """Replace an API key with a new one, which is printed.

    The new key has the same role, label and limits. The old one expires after the overlap.
    """
    with _keys(place) as keys:
        made = keys.rotate(tenant, key_id, overlap_hours=overlap_hours, days=expires_in_days)
    _show(*made, as_json=as_json)


@expand_flags
def revoke_key(
    key_id: KeyId,
    tenant: OfTenant = None,
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    *,
    place: Place,
) -> None:
    """Revoke an API key. The server rejects it from then on."""
    with _keys(place) as keys:
        keys.revoke(tenant, key_id)
    if as_json:
        print_json({"id": key_id, "state": "revoked"})
    else:
        typer.echo(f"Revoked the key {key_id}.")


def generate_key(
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
) -> None:
    """Print a new key for POLYPREFIX_OPERATOR_KEY. It is not stored anywhere."""
    from prefixes.registry.key_rows import new_key

    if as_json:
        print_json({"key": new_key()})
    else:
        typer.echo(new_key())


def _keys(place: Place) -> AbstractContextManager[KeyManager]:
    from server.command_line.key_managers import ServedKeys, StoredKeys

    return open_place(place, StoredKeys, ServedKeys)


def _show(key: str, facts: Any, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(facts) | {"key": key})
        return
    typer.echo(key)
    if facts.tenant is not None:
        suggest("login")  # it asks for the URL and the key; so does the console


def _cells(key: KeyFields, state: str) -> tuple[str, ...]:
    ended = key.revoked_at if state == "revoked" else key.expires_at
    shown = state if ended is None else f"{state} {ended:%Y-%m-%d}"
    if state == "valid" and ended is not None:
        shown = f"valid until {ended:%Y-%m-%d %H:%M}"
    used = "never used" if key.last_used_at is None else f"used {key.last_used_at:%Y-%m-%d %H:%M}"
    return key.id, f"{key.created_at:%Y-%m-%d %H:%M}", shown, key.role, used, key.label
