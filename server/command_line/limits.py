"""The commands `limits show` and `limits set`."""

# ruff: noqa: PLC0415 - `--help` does not need SQLAlchemy

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from server.command_line.json_output import AsJson, print_json
from server.command_line.store_folder import StoreFolder, load_settings, open_store

if TYPE_CHECKING:
    from prefixes.limits import LimitSet
    from prefixes.registry import LimitStore
    from prefixes.registry.limits import LimitChanges

_DEFAULT: Final = "default"
_OF_KEYS: Final = "Limits that a key may have, too"
_OF_TENANTS: Final = "Limits of tenants"

Name = Annotated[str, typer.Argument(help="Name of the tenant.")]
KeyId = Annotated[
    str | None,
    typer.Option("--key", help="Id of a key of the tenant, for the limits of this key alone."),
]


def _limit(help_text: str, panel: str = _OF_TENANTS) -> Any:
    return typer.Option(metavar="VALUE", help=help_text, rich_help_panel=panel, show_default=False)


def show_limits(
    name: Name,
    key_id: KeyId = None,
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    store_folder: StoreFolder = None,
) -> None:
    """Show the limits of a tenant or a key.

    The columns are name, value, and whether it is set or a default.
    """
    with _limits(store_folder) as limits:
        _show(limits, name, key_id, as_json=as_json)


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
    store_folder: StoreFolder = None,
) -> None:
    """Set limits of a tenant or a key. Applies to the next request.

    A value is a number, `unlimited`, or `default`, which removes the limit that was set.
    """
    from prefixes.limits import LIMIT_NAMES
    from prefixes.registry import COMMAND_LINE

    given: Mapping[str, str | None] = locals()
    changes: LimitChanges = {
        limit: _value(limit, text) for limit in LIMIT_NAMES if (text := given[limit]) is not None
    }
    with _limits(store_folder) as limits:
        if key_id is None:
            limits.change_tenant(name, changes, by=COMMAND_LINE)
        else:
            limits.change_key(name, key_id, changes, by=COMMAND_LINE)
        _show(limits, name, key_id)


@contextmanager
def _limits(store_folder: StoreFolder) -> Iterator["LimitStore"]:
    from prefixes.registry import LimitStore

    settings = load_settings(store_folder)
    with open_store(settings) as registry:
        yield LimitStore(registry.database, settings.default_limits)


def _value(limit: str, text: str) -> float | None:
    from prefixes.limits import UNLIMITED

    if text == _DEFAULT:
        return None
    if text == "unlimited":
        return UNLIMITED
    try:
        return float(text)
    except ValueError:
        option = f"--{limit.replace('_', '-')}"
        raise typer.BadParameter(
            f"{text!r} is not a number, `unlimited` or `default`. Correct the value.",
            param_hint=option,
        ) from None


def _show(limits: "LimitStore", name: str, key_id: str | None, *, as_json: bool = False) -> None:
    given, applied = _read(limits, name, key_id)
    if as_json:
        print_json({"limits": _printable(given), "applied": _printable(applied)})
        return
    for limit, value in _printable(applied).items():
        typer.echo(f"{limit}\t{value}\t{'set' if limit in given else _DEFAULT}")


def _read(limits: "LimitStore", name: str, key_id: str | None) -> tuple["LimitSet", "LimitSet"]:
    """Return the limits that are set, and those that apply."""
    if key_id is not None:
        found = limits.of_key(name, key_id)
        return found, found
    of_tenant = limits.of_tenant(name)
    return of_tenant.set, of_tenant.applied.by_name()


def _printable(limits: "LimitSet") -> dict[str, Any]:
    from prefixes.limits import printable

    return {limit: printable(value) for limit, value in limits.items()}
