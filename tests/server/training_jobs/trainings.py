"""Starts trainings on a server process, and waits for what they report."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import httpx

ROUTE: Final = "/v1/tenants/acme/trainings"
QUICK: Final = {
    "prefix_length": 4,
    "max_length": 32,
    "learning_rate": 0.05,
    "head_learning_rate": 0.05,
    "batch_size": 8,
    "epochs": 4,
    "min_steps": 1,
    "initialization": "noise",
}
LONG: Final = {**QUICK, "epochs": 100_000}
SECONDS: Final = 900
"""Timeout of a wait; a worker imports torch at the lowest priority, which is slow."""


def start_training(
    sender: httpx.Client, rows: bytes, config: Mapping[str, Any], **texts: Any
) -> httpx.Response:
    """Start a training; texts are fields of the form."""
    data = {"task": "mood", "config": json.dumps(config), **texts}
    return sender.post(ROUTE, files={"file": ("rows.csv", rows)}, data=data)


def wait_for(sender: httpx.Client, path: str, *states: str) -> dict[str, Any]:
    """Follow the events of a training until it is in a state, and has progress if it runs."""
    status: dict[str, Any] = {}
    for kind, data in follow(sender, path):
        status = data if kind == "state" else status
        if status.get("state") in states and (status["state"] != "running" or kind == "progress"):
            break
    found: dict[str, Any] = sender.get(path).json()
    assert status.get("state") in states, found
    return found


def follow(sender: httpx.Client, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the events of a training: the kind and the data of each."""
    kind = ""
    with sender.stream("GET", f"{path}/events", timeout=SECONDS) as response:
        for line in response.iter_lines():
            name, _, value = line.partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                yield kind, json.loads(value)


def worker_of(path: str) -> int | None:
    """Find the process that trains in the folder of a training."""
    training = path.rsplit("/", 1)[1].encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"training.service.worker" in command and training in command:
                return int(entry.name)
    return None
