"""The commands `rules set`, `show` and `delete`."""

# ruff: noqa: PLC0415 - `--help` does not need SQLAlchemy

from collections.abc import Sequence
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
    from pydantic import ValidationError

    from polyprefix_client import Client
    from prefixes.registry import PrefixRegistry
    from prefixes.spec import AliasRuleSet


class RuleManager(Protocol):
    """The rules of aliases of a store or of a server."""

    def set(self, alias: str, rules: "AliasRuleSet") -> None: ...
    def show(self, alias: str) -> dict[str, Any]: ...
    def delete(self, alias: str) -> None: ...


@expand_flags
def set_rules(  # noqa: PLR0917 - typer passes all by name
    alias: AliasName,
    threshold: Annotated[
        list[str] | None,
        typer.Option(help="LABEL=PROBABILITY that the label must reach. Can be repeated."),
    ] = None,
    min_score: Annotated[
        float | None, typer.Option(help="Minimum probability of an answer.", min=0, max=1)
    ] = None,
    abstain: Annotated[bool | None, typer.Option(help="Whether a text may have no answer.")] = None,
    long_text: Annotated[
        str | None, typer.Option(help="How long texts are read: truncate or windows.")
    ] = None,
    stride: Annotated[
        int | None, typer.Option(help="Number of tokens by which windows overlap.", min=0)
    ] = None,
    merge: Annotated[
        str | None,
        typer.Option(help="How classifications of windows become one: mean, max or first."),
    ] = None,
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    *,
    place: Place,
) -> None:
    """Set the rules of an alias, in place of those of its file."""
    from pydantic import ValidationError

    from prefixes.spec import AliasRuleSet

    try:
        rules = AliasRuleSet.model_validate(
            {
                "thresholds": _thresholds(threshold) if threshold else None,
                "min_score": min_score,
                "abstain": abstain,
                "long_text": long_text,
                "stride": stride,
                "merge": merge,
            }
        )
    except ValidationError as error:
        raise typer.BadParameter(_message(error)) from error
    if rules.is_empty:
        raise typer.BadParameter(
            "No rule is set: use --threshold, --min-score, --no-abstain or --long-text."
        )
    with _rules(place) as alias_rules:
        alias_rules.set(alias, rules)
        found = alias_rules.show(alias)
    if as_json:
        print_json(found)
    else:
        typer.echo(f"{alias}: set the rules")
    suggest("rules", "show", alias, as_json=as_json)


@expand_flags
def show_rules(
    alias: AliasName,
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    *,
    place: Place,
) -> None:
    """Print the rules of an alias as JSON."""
    del as_json  # the output is JSON in any case
    with _rules(place) as alias_rules:
        print_json(alias_rules.show(alias))


@expand_flags
def delete_rules(
    alias: AliasName,
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    *,
    place: Place,
) -> None:
    """Delete the rules of an alias: those of its file apply again."""
    with _rules(place) as alias_rules:
        alias_rules.delete(alias)
    if as_json:
        print_json({"alias": alias, "rules": None})
    else:
        typer.echo(f"{alias}: deleted the rules")


def _message(error: "ValidationError") -> str:
    """Return the first problem, after the option that it is about, if it is about one."""
    first = error.errors(include_url=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    option = "--" + str(first["loc"][0]).replace("_", "-") if first["loc"] else ""
    return f"{option}: {message}" if option else message


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


def _rules(place: Place) -> AbstractContextManager[RuleManager]:
    return open_place(place, _StoredRules, _ServedRules)


class _StoredRules:
    """The rules of aliases of a store, changed by the command line."""

    def __init__(self, registry: "PrefixRegistry") -> None:
        from prefixes.registry import COMMAND_LINE, AliasRules

        self._rules = AliasRules(registry.database)
        self._by = COMMAND_LINE

    def set(self, alias: str, rules: "AliasRuleSet") -> None:
        self._rules.set(*alias_place(alias), rules, by=self._by)

    def show(self, alias: str) -> dict[str, Any]:
        found = self._rules.find(*alias_place(alias))
        return {"version": found.version, **found.rules.model_dump()}

    def delete(self, alias: str) -> None:
        self._rules.remove(*alias_place(alias), by=self._by)


class _ServedRules:
    """The rules of aliases of a server."""

    def __init__(self, client: "Client") -> None:
        self._rules = client.rules

    def set(self, alias: str, rules: "AliasRuleSet") -> None:
        self._rules.set(alias, **rules.model_dump())

    def show(self, alias: str) -> dict[str, Any]:
        found = asdict(self._rules.show(alias))
        del found["etag"]
        return found

    def delete(self, alias: str) -> None:
        self._rules.delete(alias)
