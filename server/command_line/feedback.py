"""The commands `feedback show`, `feedback set`, `feedback delete` and `feedback generate-key`."""

# ruff: noqa: PLC0415 - `--help` does not need SQLAlchemy

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from server.command_line.json_output import AsJson, print_json
from server.command_line.store_folder import StoreFolder, load_settings, open_store

if TYPE_CHECKING:
    from prefixes.registry import FeedbackSettings
    from prefixes.registry.feedback_settings import FeedbackState

Name = Annotated[str, typer.Argument(help="Name of the tenant.")]


def show_feedback(
    name: Name,
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    store_folder: StoreFolder = None,
) -> None:
    """Show what a tenant records, and how much is stored."""
    with _feedback(store_folder) as feedback:
        _show(feedback.find(name), as_json=as_json)


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
    store_folder: StoreFolder = None,
) -> None:
    """Let a tenant record answers and feedback, or stop it.

    Applies to the next request. Stopping deletes nothing. POLYPREFIX_MAX_FEEDBACK_DAYS applies in
    any case.
    """
    from prefixes.registry import COMMAND_LINE, FeedbackRule

    with _feedback(store_folder) as feedback:
        given = {
            "is_enabled": enabled,
            "retention_days": retention_days,
            "sample_percent": sample_percent,
        }
        changes = {field: value for field, value in given.items() if value is not None}
        rule = FeedbackRule(**{**asdict(feedback.find(name).rule), **changes})
        _show(feedback.set(name, rule, by=COMMAND_LINE))


def delete_feedback(
    name: Annotated[
        str, typer.Argument(metavar="TENANT[/TASK]", help="The tenant, or one of its prefixes.")
    ],
    store_folder: StoreFolder = None,
) -> None:
    """Delete the recorded answers of a tenant or a prefix.

    Their feedback is deleted, too. Nothing of it can be restored.
    """
    from prefixes.registry import COMMAND_LINE

    tenant, _, task = name.partition("/")
    with _feedback(store_folder) as feedback:
        number = feedback.delete(tenant, task or None, by=COMMAND_LINE)
    typer.echo(f"Deleted {number} answers of {name}.")


def export_feedback(
    name: Annotated[str, typer.Argument(metavar="TENANT/TASK", help="The prefix.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write, .jsonl.")],
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
    typer.echo(f"Wrote {len(lines)} rows to {output}.")


def generate_feedback_key() -> None:
    """Print a new key for POLYPREFIX_FEEDBACK_KEYS. It is stored nowhere."""
    from server.feedback.sealing import new_key

    typer.echo(new_key())


@contextmanager
def _feedback(store_folder: StoreFolder) -> Iterator["FeedbackSettings"]:
    from prefixes.registry import FeedbackSettings

    with open_store(load_settings(store_folder)) as registry:
        yield FeedbackSettings(registry.database)


def _show(state: "FeedbackState", *, as_json: bool = False) -> None:
    shown = {
        **asdict(state.rule),
        "num_answers": state.num_answers,
        "num_with_feedback": state.num_with_feedback,
        "stored_bytes": state.num_bytes,
    }
    if as_json:
        print_json(shown)
        return
    for field, value in shown.items():
        typer.echo(f"{field}\t{str(value).lower()}")
