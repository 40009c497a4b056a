"""The commands `limits show` and `limits set`."""

# ruff: noqa: PLC0415 - `--help` does not need SQLAlchemy

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Protocol

import typer

from server.command_line.flag_groups import expand_flags
from server.command_line.json_output import AsJson, print_json
from server.command_line.next_step import suggest
from server.command_line.place import KeyedPlace, open_place

if TYPE_CHECKING:
    from polyprefix_client import Client
    from prefixes.registry import LimitStore, PrefixRegistry

LimitChanges = Mapping[str, float | str | None]
"""Numbers, `unlimited`, or None for the default."""

_DEFAULT: Final = "default"
_UNLIMITED: Final = "unlimited"
_OF_KEYS: Final = "Limits that a key may have, too"
_OF_TENANTS: Final = "Limits of tenants"

Name = Annotated[str, typer.Argument(help="Name of the tenant.")]
KeyId = Annotated[
    str | None,
    typer.Option("--key", help="Id of a key of the tenant, for the limits of this key alone."),
]


def _limit(help_text: str, panel: str = _OF_TENANTS) -> Any:
    return typer.Option(metavar="VALUE", help=help_text, rich_help_panel=panel, show_default=False)


@dataclass(frozen=True, slots=True)
class ShownLimits:
    """The limits that are set, and those that apply, as they are printed."""

    limits: Mapping[str, Any]
    applied: Mapping[str, Any]


class LimitManager(Protocol):
    """The limits of a store or of a server."""

    def show(self, name: str, key_id: str | None) -> ShownLimits: ...
    def change(self, name: str, key_id: str | None, changes: LimitChanges) -> ShownLimits: ...


@expand_flags
def show_limits(
    name: Name,
    key_id: KeyId = None,
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    *,
    place: KeyedPlace,
) -> None:
    """Show the limits of a tenant or a key.

    The columns are name, value, and whether it is set or a default.
    """
    with _limits(place) as limits:
        _show(limits.show(name, key_id), as_json=as_json)


@expand_flags
def set_limits(  # noqa: PLR0917 - typer passes all by name
    name: Name,
    key_id: KeyId = None,
    requests_per_second: Annotated[
        str | None, _limit("Maximum rate of inference requests.", _OF_KEYS)
    ] = None,
    tokens_per_second: Annotated[str | None, _limit("Maximum rate of tokens.", _OF_KEYS)] = None,
    max_in_flight_texts: Annotated[
        str | None, _limit("Maximum number of in-flight texts.", _OF_KEYS)
    ] = None,
    management_requests_per_second: Annotated[
        str | None, _limit("Maximum rate of requests that are not inference.", _OF_KEYS)
    ] = None,
    max_upload_bytes: Annotated[
        str | None, _limit("Maximum size of an uploaded file.", _OF_KEYS)
    ] = None,
    max_stored_bytes: Annotated[str | None, _limit("Maximum total size of all versions.")] = None,
    max_prefixes: Annotated[str | None, _limit("Maximum number of prefixes.")] = None,
    max_versions: Annotated[
        str | None, _limit("Maximum number of versions of all prefixes.")
    ] = None,
    max_queued_trainings: Annotated[
        str | None, _limit("Maximum number of queued trainings.")
    ] = None,
    max_running_trainings: Annotated[
        str | None, _limit("Maximum number of running trainings.")
    ] = None,
    training_cpu_seconds_per_day: Annotated[
        str | None, _limit("Maximum CPU time of trainings within 24 hours.")
    ] = None,
    weight: Annotated[
        str | None, _limit("Share of the device, compared with other tenants.")
    ] = None,
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    *,
    place: KeyedPlace,
) -> None:
    """Set limits of a tenant or a key. Applies to the next request.

    A value is a number, `unlimited`, or `default`, which removes the limit that was set.
    """
    from prefixes.limits import LIMIT_NAMES

    given: Mapping[str, Any] = locals()
    changes: LimitChanges = {
        limit: _value(limit, text) for limit in LIMIT_NAMES if (text := given[limit]) is not None
    }
    with _limits(place) as limits:
        _show(limits.change(name, key_id, changes), as_json=as_json)
    suggest("limits", "show", name, *(("--key", key_id) if key_id else ()), as_json=as_json)


def _limits(place: KeyedPlace) -> AbstractContextManager[LimitManager]:
    def of_store(registry: "PrefixRegistry") -> LimitManager:
        from prefixes.registry import LimitStore
        from server.command_line.store_folder import load_settings

        defaults = load_settings(place.store_folder).default_limits
        return _StoredLimits(LimitStore(registry.database, defaults))

    return open_place(place, of_store, _ServedLimits)


class _StoredLimits:
    """The limits of a store."""

    def __init__(self, limits: "LimitStore") -> None:
        self._limits = limits

    def show(self, name: str, key_id: str | None) -> ShownLimits:
        from prefixes.limits import printable

        if key_id is None:
            of_tenant = self._limits.of_tenant(name)
            found, applied = of_tenant.set, of_tenant.applied.by_name()
        else:
            found = applied = self._limits.of_key(name, key_id)
        return ShownLimits(
            {limit: printable(value) for limit, value in found.items()},
            {limit: printable(value) for limit, value in applied.items()},
        )

    def change(self, name: str, key_id: str | None, changes: LimitChanges) -> ShownLimits:
        from prefixes.limits import UNLIMITED
        from prefixes.registry import COMMAND_LINE

        values: Any = {
            limit: UNLIMITED if value == _UNLIMITED else value for limit, value in changes.items()
        }
        if key_id is None:
            self._limits.change_tenant(name, values, by=COMMAND_LINE)
        else:
            self._limits.change_key(name, key_id, values, by=COMMAND_LINE)
        return self.show(name, key_id)


class _ServedLimits:
    """The limits of a server."""

    def __init__(self, client: "Client") -> None:
        self._limits = client.limits

    def show(self, name: str, key_id: str | None) -> ShownLimits:
        found = self._limits.show(name, key_id)
        return ShownLimits(found.limits, found.applied or found.limits)

    def change(self, name: str, key_id: str | None, changes: LimitChanges) -> ShownLimits:
        values: Any = changes
        self._limits.set(name, key_id, **values)
        return self.show(name, key_id)


def _value(limit: str, text: str) -> float | str | None:
    if text == _DEFAULT:
        return None
    if text == _UNLIMITED:
        return text
    try:
        return float(text)
    except ValueError:
        option = f"--{limit.replace('_', '-')}"
        raise typer.BadParameter(
            f"{text!r} is not a number, `unlimited` or `default`. Correct the value.",
            param_hint=option,
        ) from None


def _show(shown: ShownLimits, *, as_json: bool) -> None:
    if as_json:
        print_json({"limits": shown.limits, "applied": shown.applied})
        return
    for limit, value in shown.applied.items():
        typer.echo(f"{limit}\t{value}\t{'set' if limit in shown.limits else _DEFAULT}")
