"""The commands `canary set`, `show`, `promote` and `cancel`."""

# ruff: noqa: PLC0415 - `--help` does not need SQLAlchemy

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from server.command_line.alias_argument import AliasName, alias_place
from server.command_line.json_output import print_json
from server.command_line.store_folder import StoreFolder, load_settings, open_store

if TYPE_CHECKING:
    from prefixes.registry import Canaries


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
    store_folder: StoreFolder = None,
) -> None:
    """Let a second version answer a share of an alias's callers."""
    from prefixes.registry import COMMAND_LINE, CanaryPlan

    plan = CanaryPlan(
        version,
        percent,
        shadow_percent,
        max_error_percent,
        max_disagreement_percent,
        min_samples,
    )
    with _canaries(store_folder) as canaries:
        canaries.set(*alias_place(alias), plan, by=COMMAND_LINE)
    typer.echo(f"{alias}: version {version} answers {percent:g} % of the callers")


def show_canary(alias: AliasName, store_folder: StoreFolder = None) -> None:
    """Print the canary of an alias as JSON."""
    from dataclasses import asdict

    with _canaries(store_folder) as canaries:
        found = asdict(canaries.find(*alias_place(alias)))
    print_json(found.pop("plan") | found)


def promote_canary(alias: AliasName, store_folder: StoreFolder = None) -> None:
    """Point an alias to the version of its canary."""
    from prefixes.registry import COMMAND_LINE

    with _canaries(store_folder) as canaries:
        version = canaries.promote(*alias_place(alias), by=COMMAND_LINE)
    typer.echo(f"{alias}: points to version {version}")


def cancel_canary(alias: AliasName, store_folder: StoreFolder = None) -> None:
    """End a canary. The version that the alias points to answers all callers again."""
    from prefixes.registry import COMMAND_LINE

    with _canaries(store_folder) as canaries:
        canaries.cancel(*alias_place(alias), by=COMMAND_LINE)
    typer.echo(f"{alias}: canceled the canary")


@contextmanager
def _canaries(store_folder: StoreFolder) -> Iterator["Canaries"]:
    from prefixes.registry import Canaries

    with open_store(load_settings(store_folder)) as registry:
        yield Canaries(registry.database)
