"""The commands `feedback show`, `set`, `delete`, `export`, `generate-key` and `reencrypt`."""

# ruff: noqa: PLC0415 - `--help` does not need SQLAlchemy

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from server.command_line.flag_groups import expand_flags
from server.command_line.json_output import AsJson, print_json
from server.command_line.next_step import suggest
from server.command_line.place import Place, open_place
from server.command_line.store_folder import StoreFolder, load_settings, open_store

if TYPE_CHECKING:
    from polyprefix_client import Client
    from prefixes.registry import PrefixRegistry
    from prefixes.registry.feedback_settings import FeedbackState

Name = Annotated[str, typer.Argument(help="Name of the tenant.")]


class FeedbackManager(Protocol):
    """Recorded answers of a store or of a server."""

    def find(self, name: str) -> dict[str, Any]: ...
    def change(self, name: str, changes: Mapping[str, Any]) -> dict[str, Any]: ...
    def delete(self, name: str) -> int: ...


@expand_flags
def show_feedback(
    name: Name,
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    *,
    place: Place,
) -> None:
    """Show what a tenant records, and how much is stored."""
    with _feedback(place) as feedback:
        _show(feedback.find(name), as_json=as_json)


@expand_flags
def set_feedback(
    name: Name,
    enabled: Annotated[
        bool | None,
        typer.Option("--enable/--disable", help="Record answers from now on, or stop."),
    ] = None,
    retention_days: Annotated[
        float | None,
        typer.Option(min=0.001, help="Days after which answers and feedback are removed."),
    ] = None,
    sample_percent: Annotated[
        float | None, typer.Option(min=0.001, max=100, help="Share of the requests to record.")
    ] = None,
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    *,
    place: Place,
) -> None:
    """Let a tenant record answers and feedback, or stop it.

    Applies to the next request. Stopping deletes nothing. POLYPREFIX_MAX_FEEDBACK_DAYS applies in
    any case.
    """
    given = {
        "is_enabled": enabled,
        "retention_days": retention_days,
        "sample_percent": sample_percent,
    }
    changes = {field: value for field, value in given.items() if value is not None}
    with _feedback(place) as feedback:
        _show(feedback.change(name, changes), as_json=as_json)


@expand_flags
def delete_feedback(
    name: Annotated[
        str, typer.Argument(metavar="TENANT[/TASK]", help="The tenant, or one of its prefixes.")
    ],
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    *,
    place: Place,
) -> None:
    """Delete the recorded answers of a tenant or a prefix.

    Their feedback is deleted, too. Nothing of it can be restored.
    """
    with _feedback(place) as feedback:
        number = feedback.delete(name)
    if as_json:
        print_json({"num_answers": number})
    else:
        typer.echo(f"Deleted {number} answers of {name}.")


def export_feedback(
    name: Annotated[str, typer.Argument(metavar="TENANT/TASK", help="The prefix.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write, .jsonl.")],
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    store_folder: StoreFolder = None,
) -> None:
    """Write the feedback on a prefix as labeled rows, oldest first.

    `polyprefix train --feedback` adds them to labeled rows; `--train` trains on them alone.
    """
    from prefixes.registry import AnswerStore
    from server.feedback.rows import feedback_lines
    from server.feedback.sealing import Sealer

    tenant, _, task = name.partition("/")
    settings = load_settings(store_folder)
    with open_store(settings) as registry:
        answers = AnswerStore(registry.database, max_bytes=0)
        lines = feedback_lines(answers, Sealer(settings.feedback_key_list), tenant, task)
        output.write_bytes(b"".join(lines))
    if as_json:
        print_json({"rows": len(lines), "file": output})
    else:
        typer.echo(f"Wrote {len(lines)} rows to {output}.")
    suggest("train", name, "--train", str(output), as_json=as_json)


def generate_feedback_key(
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
) -> None:
    """Print a new key for POLYPREFIX_FEEDBACK_KEYS. It is stored nowhere."""
    from server.feedback.sealing import new_key

    if as_json:
        print_json({"key": new_key()})
    else:
        typer.echo(new_key())


def reencrypt_feedback(
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    store_folder: StoreFolder = None,
) -> None:
    """Encrypt all recorded answers with the first key.

    The first of POLYPREFIX_FEEDBACK_KEYS encrypts, and the others decrypt. Servers may run
    meanwhile if they use the same first key. Texts that were recorded without a key are encrypted,
    too.
    """
    from prefixes.registry.answer_resealing import reseal_answers
    from server.feedback.sealing import Sealer

    settings = load_settings(store_folder)
    sealer = Sealer(settings.feedback_key_list)
    if sealer.current is None:
        raise typer.BadParameter(
            "POLYPREFIX_FEEDBACK_KEYS is not set. Set it to the new key, followed by the old ones."
        )
    num_resealed = num_unreadable = 0
    with open_store(settings) as registry:
        for rows in reseal_answers(registry.database, sealer.current, sealer.reseal):
            num_resealed += rows.num_resealed
            num_unreadable += rows.num_unreadable
    if as_json:
        print_json({"num_encrypted": num_resealed, "num_unreadable": num_unreadable})
        return
    typer.echo(f"Encrypted {num_resealed} answers with the key {sealer.current}.")
    if num_unreadable:
        typer.echo(f"{num_unreadable} answers cannot be read: their keys are missing.")


def _feedback(place: Place) -> AbstractContextManager[FeedbackManager]:
    return open_place(place, _StoredFeedback, _ServedFeedback)


class _StoredFeedback:
    """Recorded answers of a store, changed by the command line."""

    def __init__(self, registry: "PrefixRegistry") -> None:
        from prefixes.registry import COMMAND_LINE, FeedbackSettings

        self._settings = FeedbackSettings(registry.database)
        self._by = COMMAND_LINE

    def find(self, name: str) -> dict[str, Any]:
        return _shown(self._settings.find(name))

    def change(self, name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        from prefixes.registry import FeedbackRule

        rule = FeedbackRule(**{**asdict(self._settings.find(name).rule), **changes})
        return _shown(self._settings.set(name, rule, by=self._by))

    def delete(self, name: str) -> int:
        tenant, _, task = name.partition("/")
        return self._settings.delete(tenant, task or None, by=self._by)


class _ServedFeedback:
    """Recorded answers of a server."""

    def __init__(self, client: "Client") -> None:
        self._feedback = client.feedback

    def find(self, name: str) -> dict[str, Any]:
        return asdict(self._feedback.settings(name))

    def change(self, name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        found = self.find(name)
        rule = {field: found[field] for field in ("is_enabled", "retention_days", "sample_percent")}
        return asdict(self._feedback.set(name, **{**rule, **changes}))

    def delete(self, name: str) -> int:
        return self._feedback.delete(name)


def _shown(state: "FeedbackState") -> dict[str, Any]:
    return {
        **asdict(state.rule),
        "num_answers": state.num_answers,
        "num_with_feedback": state.num_with_feedback,
        "stored_bytes": state.num_bytes,
    }


def _show(fields: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(fields)
        return
    for field, value in fields.items():
        typer.echo(f"{field}\t{str(value).lower()}")
