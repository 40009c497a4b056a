"""Trainings on the server: start, follow and cancel them."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from polyprefix_client._async.concurrency import sleep
from polyprefix_client._async.pages import items_of
from polyprefix_client._async.transport import AsyncTransport
from polyprefix_client.errors import ConnectionFailed, DeadlineExceeded, TrainingFailed
from polyprefix_client.events import EventParser
from polyprefix_client.files import row_file
from polyprefix_client.names import Reference, segment
from polyprefix_client.requests import Call, File, body_of, get, value_of
from polyprefix_client.trainings import (
    CheckedRows,
    Training,
    TrainingEvent,
)


class AsyncTrainings:
    """The trainings of tenants. A training is named by its value, or by tenant and id."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def start(
        self,
        task: str,
        file: str | Path | File | None = None,
        *,
        validation: str | Path | File | None = None,
        test: str | Path | File | None = None,
        unlabeled: str | Path | File | None = None,
        config: Mapping[str, Any] | None = None,
        margin: float = 0.0,
        alias: str | None = None,
        feedback: Literal["none", "add", "only"] = "none",
    ) -> Training:
        """Queue a training of a task on labeled rows.

        Args:
            task: the task to publish, or an alias of it, which is then compared and promoted.
            file: labeled rows: a path, or a name and the content.
            validation: rows that select the best step. By default, they are split off.
            test: rows on which the new version is compared with the live one.
            unlabeled: rows without labels, if `config` has a `teacher` that answers them.
            config: settings of the training.
            margin: by how much the new version must be better than the live one.
            alias: alias to compare with and to promote, if `task` names none.
            feedback: how to use the feedback on the task.
        """
        call = _start(
            task,
            {"file": file, "validation": validation, "test": test, "unlabeled": unlabeled},
            config=config,
            alias=alias,
            margin=margin,
            feedback=feedback,
        )
        return value_of(await self._transport.send(call), Training)

    async def check(
        self,
        task: str,
        file: str | Path | File | None = None,
        *,
        validation: str | Path | File | None = None,
        test: str | Path | File | None = None,
        unlabeled: str | Path | File | None = None,
        config: Mapping[str, Any] | None = None,
        feedback: Literal["none", "add", "only"] = "none",
    ) -> CheckedRows:
        """Check labeled rows as a training does, and train nothing."""
        files = {"file": file, "validation": validation, "test": test, "unlabeled": unlabeled}
        call = _start(task, files, config=config, feedback=feedback)
        call = replace(call, params={"dry_run": "true"}, is_idempotent=True)
        return value_of(await self._transport.send(call), CheckedRows)

    def list(self, tenant: str) -> AsyncIterator[Training]:
        """Yield the trainings of a tenant, the latest first."""
        call = get(f"/v1/tenants/{segment(tenant)}/trainings")
        return items_of(self._transport, call, "trainings", Training)

    async def show(self, tenant: str, training_id: str) -> Training:
        """Show a training: its state, progress, and error or result."""
        return value_of(await self._transport.send(get(_path(tenant, training_id))), Training)

    async def events(self, tenant: str, training_id: str) -> AsyncIterator[TrainingEvent]:
        """Yield the events of a training until it has finished.

        A broken stream continues after the last event that arrived.

        Raises:
            ConnectionFailed: when the server cannot be reached again.
        """
        parser, num_failures = EventParser(), 0
        while True:
            reason = "the stream ended early"
            try:
                async for event in self._stream(tenant, training_id, parser):
                    num_failures = 0
                    yield event
                    if event.training is not None and event.training.is_finished:
                        return
            except (ConnectionFailed, DeadlineExceeded) as error:
                reason = str(error)
            num_failures += 1
            if num_failures >= self._transport.retries.max_attempts:
                raise ConnectionFailed(
                    f"The events of the training {training_id} cannot be read: {reason} The "
                    "training continues. Follow it again later."
                )
            await sleep(self._transport.retries.wait_before(num_failures))

    async def wait(
        self,
        training: Training,
        *,
        on_event: Callable[[TrainingEvent], object] | None = None,
    ) -> Training:
        """Wait until a training has succeeded, and return it.

        Args:
            training: the training.
            on_event: called with each event, to show the progress.

        Raises:
            TrainingFailed: when it has failed or was canceled.
        """
        found = training
        async for event in self.events(training.tenant, training.id):
            if on_event is not None:
                on_event(event)
            found = event.training or found
        if found.state != "succeeded":
            raise TrainingFailed(found)
        return found

    async def cancel(self, tenant: str, training_id: str) -> Training:
        """Cancel a training. One that has finished stays as it is."""
        call = Call("POST", f"{_path(tenant, training_id)}/cancel", is_idempotent=True)
        return value_of(await self._transport.send(call), Training)

    async def report(self, tenant: str, training_id: str) -> dict[str, Any]:
        """Return the report: settings, figures, history and confusion matrix."""
        report: dict[str, Any] = body_of(
            await self._transport.send(get(f"{_path(tenant, training_id)}/report"))
        )
        return report

    async def curve(self, tenant: str, training_id: str) -> bytes:
        """Return a plot of the learning curves, as PNG."""
        path = f"{_path(tenant, training_id)}/curve.png"
        return (await self._transport.send(get(path))).content

    async def _stream(
        self, tenant: str, training_id: str, parser: EventParser
    ) -> AsyncIterator[TrainingEvent]:
        parser.restart()
        path = f"{_path(tenant, training_id)}/events"
        async with self._transport.stream(Call("GET", path, headers=parser.headers())) as response:
            async for line in response.aiter_lines():
                event = parser.feed(line)
                if event is not None:
                    yield event


def _path(tenant: str, training_id: str) -> str:
    return f"/v1/tenants/{segment(tenant)}/trainings/{segment(training_id)}"


def _start(
    task: str,
    files: Mapping[str, str | Path | File | None],
    *,
    config: Mapping[str, Any] | None,
    feedback: str,
    alias: str | None = None,
    margin: float = 0.0,
) -> Call:
    """Return the call that starts a training."""
    name = Reference.parse(task)
    texts = {
        "task": name.task,
        "config": json.dumps(dict(config or {})),
        "margin": str(margin) if margin else None,
        "alias": alias or name.alias,
        "feedback": None if feedback == "none" else feedback,
    }
    return Call(
        "POST",
        f"/v1/tenants/{segment(name.tenant)}/trainings",
        form={field: text for field, text in texts.items() if text is not None},
        files={field: row_file(one) for field, one in files.items() if one is not None},
    )
