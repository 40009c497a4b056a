"""The commands `rules set`, `show` and `delete`."""

# ruff: noqa: PLC0415 - `--help` does not need SQLAlchemy

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from server.command_line.alias_argument import AliasName, alias_place
from server.command_line.json_output import print_json
from server.command_line.store_folder import StoreFolder, load_settings, open_store

if TYPE_CHECKING:
    from prefixes.registry import AliasRules


def set_rules(
    alias: AliasName,
    threshold: Annotated[
        list[str] | None,
        typer.Option(help="LABEL=PROBABILITY that the label must reach. Can be repeated."),
    ] = None,
    min_score: Annotated[
        float | None, typer.Option(help="Minimum probability of an answer.", min=0, max=1)
    ] = None,
    abstain: Annotated[bool | None, typer.Option(help="Whether a text may have no answer.")] = None,
    store_folder: StoreFolder = None,
) -> None:
    """Set the rules of an alias, in place of those of its file."""
    from pydantic import ValidationError

    from prefixes.registry import COMMAND_LINE
    from prefixes.spec import AnswerRules

    try:
        rules = AnswerRules(
            thresholds=_thresholds(threshold) if threshold else None,
            min_score=min_score,
            abstain=abstain,
        )
    except ValidationError as error:
        message = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise typer.BadParameter(message) from error
    if rules.rules is None:
        raise typer.BadParameter("No rule is set: use --threshold, --min-score or --no-abstain.")
    with _alias_rules(store_folder) as alias_rules:
        alias_rules.set(*alias_place(alias), rules, by=COMMAND_LINE)
    typer.echo(f"{alias}: set the rules")


def show_rules(alias: AliasName, store_folder: StoreFolder = None) -> None:
    """Print the rules of an alias as JSON."""
    with _alias_rules(store_folder) as alias_rules:
        found = alias_rules.find(*alias_place(alias))
    print_json({"version": found.version, **found.rules.model_dump()})


def delete_rules(alias: AliasName, store_folder: StoreFolder = None) -> None:
    """Delete the rules of an alias: those of its file apply again."""
    from prefixes.registry import COMMAND_LINE

    with _alias_rules(store_folder) as alias_rules:
        alias_rules.remove(*alias_place(alias), by=COMMAND_LINE)
    typer.echo(f"{alias}: deleted the rules")


def _thresholds(texts: Sequence[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for text in texts:
        label, sign, number = text.rpartition("=")
        try:
            found[label] = float(number)
        except ValueError:
            sign = ""
        if not sign:
            raise typer.BadParameter(f"Invalid threshold {text!r}: expected LABEL=PROBABILITY.")
    return found


@contextmanager
def _alias_rules(store_folder: StoreFolder) -> Iterator["AliasRules"]:
    from prefixes.registry import AliasRules

    with open_store(load_settings(store_folder)) as registry:
        yield AliasRules(registry.database)
