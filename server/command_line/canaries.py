"""The commands `canary set`, `show`, `promote` and `cancel`."""

# ruff: noqa: PLC0415 - `--help` does not need SQLAlchemy

from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from server.command_line.alias_argument import AliasName, alias_place
from server.command_line.flag_groups import expand_flags
from server.command_line.json_output import AsJson, print_json
from server.command_line.next_step import suggest
from server.command_line.place import Place, open_place

if TYPE_CHECKING:
    from polyprefix_client import Client
    from prefixes.registry import CanaryPlan, PrefixRegistry


class CanaryManager(Protocol):
    """The canaries of a store or of a server."""

    def set(self, alias: str, plan: "CanaryPlan") -> dict[str, Any]: ...
    def show(self, alias: str) -> dict[str, Any]: ...
    def promote(self, alias: str) -> int: ...
    def cancel(self, alias: str) -> None: ...


@expand_flags
def set_canary(  # noqa: PLR0917 - typer passes all by name
    alias: AliasName,
    version: Annotated[int, typer.Option(help="Version of the canary.", min=1)],
    percent: Annotated[
        float, typer.Option(help="Share of the callers that it answers.", min=0, max=100)
    ],
    shadow_percent: Annotated[
        float, typer.Option(help="Share of inputs that both versions run.", min=0, max=100)
    ] = 0,
    max_error_percent: Annotated[
        float | None, typer.Option(help="Failures from which it is rolled back.", min=0, max=100)
    ] = None,
    max_disagreement_percent: Annotated[
        float | None,
        typer.Option(help="Different answers from which it is rolled back.", min=0, max=100),
    ] = None,
    min_samples: Annotated[
        int, typer.Option(help="Number of inputs before bounds apply.", min=1)
    ] = 100,
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    *,
    place: Place,
) -> None:
    """Let a second version answer a share of an alias's callers."""
    from prefixes.registry import CanaryPlan

    plan = CanaryPlan(
        version,
        percent,
        shadow_percent,
        max_error_percent,
        max_disagreement_percent,
        min_samples,
    )
    with _canaries(place) as canaries:
        found = canaries.set(alias, plan)
    if as_json:
        print_json(found)
    else:
        typer.echo(f"{alias}: version {version} answers {percent:g} % of the callers")
    suggest("canary", "promote", alias, as_json=as_json)


@expand_flags
def show_canary(
    alias: AliasName,
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    *,
    place: Place,
) -> None:
    """Print the canary of an alias as JSON."""
    del as_json  # the output is JSON in any case
    with _canaries(place) as canaries:
        print_json(canaries.show(alias))


@expand_flags
def promote_canary(
    alias: AliasName,
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    *,
    place: Place,
) -> None:
    """Point an alias to the version of its canary."""
    with _canaries(place) as canaries:
        version = canaries.promote(alias)
    if as_json:
        print_json({"alias": alias, "version": version})
    else:
        typer.echo(f"{alias}: points to version {version}")


@expand_flags
def cancel_canary(
    alias: AliasName,
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    *,
    place: Place,
) -> None:
    """End a canary. The version that the alias points to answers all callers again."""
    with _canaries(place) as canaries:
        canaries.cancel(alias)
    if as_json:
        print_json({"alias": alias, "canary": None})
    else:
        typer.echo(f"{alias}: canceled the canary")


def _canaries(place: Place) -> AbstractContextManager[CanaryManager]:
    return open_place(place, _StoredCanaries, _ServedCanaries)


class _StoredCanaries:
    """The canaries of a store, changed by the command line."""

    def __init__(self, registry: "PrefixRegistry") -> None:
        from prefixes.registry import COMMAND_LINE, Canaries

        self._canaries = Canaries(registry.database)
        self._by = COMMAND_LINE

    def set(self, alias: str, plan: "CanaryPlan") -> dict[str, Any]:
        self._canaries.set(*alias_place(alias), plan, by=self._by)
        return self.show(alias)

    def show(self, alias: str) -> dict[str, Any]:
        found = asdict(self._canaries.find(*alias_place(alias)))
        plan: dict[str, Any] = found.pop("plan")
        return plan | found

    def promote(self, alias: str) -> int:
        return self._canaries.promote(*alias_place(alias), by=self._by)

    def cancel(self, alias: str) -> None:
        self._canaries.cancel(*alias_place(alias), by=self._by)


class _ServedCanaries:
    """The canaries of a server."""

    def __init__(self, client: "Client") -> None:
        self._canaries = client.canaries

    def set(self, alias: str, plan: "CanaryPlan") -> dict[str, Any]:
        return asdict(self._canaries.set(alias, **asdict(plan)))

    def show(self, alias: str) -> dict[str, Any]:
        return asdict(self._canaries.show(alias))

    def promote(self, alias: str) -> int:
        return self._canaries.promote(alias).version

    def cancel(self, alias: str) -> None:
        self._canaries.cancel(alias)
