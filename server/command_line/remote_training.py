"""Trains on a server, for `train --url`: uploads the rows, and prints the progress."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import typer

from polyprefix_client import Client, Training, TrainingEvent, TrainingFailed, to_json
from polyprefix_client.files import row_file
from server.command_line.json_output import print_json
from server.command_line.next_step import suggest
from server.command_line.place import ServerFlags, connect
from training.errors import PlanRejected
from training.service.protocol.tenant_config import TenantConfig
from training.settings.config import TrainConfig
from training.settings.plan import TrainPlan
from training.settings.train_settings import FULL_TEACHER

_FILES: Final = {
    "train": "file",
    "validation": "validation",
    "test": "test",
    "unlabeled": "unlabeled",
}
"""Fields of `TrainConfig` that name files, and the names of these files in a request."""

_REJECTED: Final = frozenset({"data_rejected", "config_rejected"})


def train_remotely(
    plan: TrainPlan, server: ServerFlags, *, alias: str | None, unused: Sequence[str], as_json: bool
) -> None:
    """Train the only run of a plan on a server, and wait until it has finished.

    `unused` are flags that were given and that have no effect on a server.

    Raises:
        PlanRejected: when the plan has settings that a server does not accept, or the server
            rejects the rows or the settings.
        PolyprefixError: when the server cannot be reached, or the training fails.
    """
    if unused:
        raise PlanRejected(f"A server does not accept {', '.join(unused)}. Remove them.")
    if len(plan.runs) != 1 or plan.sweep is not None:
        raise PlanRejected("A server trains one task at a time. Give TENANT/TASK and no sweep.")
    (run,) = plan.runs
    config, files = _settings_of(run)
    with connect(server) as client:
        queued = client.trainings.start(
            run.task,
            config=config,
            alias=alias,
            file=files.get("file"),
            validation=files.get("validation"),
            test=files.get("test"),
            unlabeled=files.get("unlabeled"),
        )
        finished = _wait(client, queued, is_quiet=as_json)
    _show(finished, as_json=as_json)


def _settings_of(run: TrainConfig) -> tuple[dict[str, Any], dict[str, tuple[str, bytes]]]:
    """Split the settings of a run into those of a request, and its files."""
    if run.teacher not in {None, FULL_TEACHER}:
        raise PlanRejected(
            f"A server does not accept the teacher {run.teacher!r}, which is a folder of this "
            "machine. Use --teacher full, or train here."
        )
    given: dict[str, Any] = run.model_dump(mode="json", exclude_unset=True)
    files = {name: _file(given.pop(field)) for field, name in _FILES.items() if given.get(field)}
    config = {name: value for name, value in given.items() if name in TenantConfig.model_fields}
    others = sorted(given.keys() - config.keys() - {"task", *_FILES})
    if others:
        raise PlanRejected(
            f"A server does not accept the setting {others[0]!r}. Remove it, or train here."
        )
    return config, files


def _file(source: str) -> tuple[str, bytes]:
    path = Path(source)
    if not path.is_file():
        raise PlanRejected(f"{source} is not a file. A server trains on rows of files only.")
    return row_file(path)


def _wait(client: Client, queued: Training, *, is_quiet: bool) -> Training:
    try:
        return client.trainings.wait(queued, on_event=None if is_quiet else _print)
    except TrainingFailed as failed:
        problem = failed.training.error
        if problem is None or problem.code not in _REJECTED:
            raise
        lines = [f"  {one.field}: {one.message}" for one in problem.errors]
        raise PlanRejected("\n".join((problem.detail, *lines))) from failed
    except KeyboardInterrupt:
        path = f"/v1/tenants/{queued.tenant}/trainings/{queued.id}/cancel"
        typer.echo(f"The training continues on the server. To cancel it: POST {path}", err=True)
        raise


def _print(event: TrainingEvent) -> None:
    for sentence in event.sentences:
        typer.echo(sentence, err=True)
    progress = event.progress
    if event.training is not None:
        typer.echo(event.training.state, err=True)
    elif event.kind == "evaluation" and progress is not None and progress.latest is not None:
        name = "teacher, step" if progress.phase == "teacher" else "step"
        typer.echo(
            f"{name} {progress.step}/{progress.total_steps}  {_figures(progress.latest.metrics)}",
            err=True,
        )


def _figures(metrics: Mapping[str, float | None]) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in metrics.items() if value is not None)


def _show(finished: Training, *, as_json: bool) -> None:
    if as_json:
        print_json(to_json(finished))
        return
    result = finished.result
    assert result is not None  # a training that has succeeded
    typer.echo(f"{result.ref}\t{result.reason}")
    if result.is_promoted:
        suggest("predict", f"{finished.name}:{finished.alias}", "TEXTS")
    else:
        suggest("prefix", "promote", f"{finished.name}:{finished.alias}", str(result.version))
