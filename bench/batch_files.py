"""Batch files: kill a server while it answers one, measure its memory, and requests next to it.

    python -m bench.batch_files kills --rows 100000 --kills 3
    python -m bench.batch_files memory --rows 1000000 --backbone tiny
    python -m bench.batch_files requests --seconds 20

`kills` checks that each row has exactly one result, in order. `memory` reports the resident memory
of the server before and during a file. `requests` measures one connection without and with a file
that runs. With `--pause 0.5`, the file uses the whole device between two requests.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from bench.figures import quantile
from prefixes.registry import ApiKeys, open_registry
from tests.factories import make_backbone_folder

_EXAMPLES: Final = Path(__file__).parents[1] / "examples" / "prefixes"
_WORDS: Final = ("good", "late", "train", "prize", "card", "film", "river", "call")
_JSONL: Final = {"Content-Type": "application/jsonl"}
_SECONDS_BETWEEN_KILLS: Final = 12.0


@dataclass(frozen=True, slots=True)
class Setup:
    """A store with a key, and the flags of its server. `models` are tasks for the rows."""

    store: Path
    key: str
    flags: Sequence[str]
    models: Sequence[str]


@contextmanager
def server(setup: Setup) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """Run a server on a free port."""
    command = (sys.executable, "-m", "server", "serve", "--port", "0")
    process = subprocess.Popen(
        [*command, "--store-folder", str(setup.store), *setup.flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    headers = {"Authorization": f"Bearer {setup.key}"}
    try:
        found = (re.search(r"listens on (http://\S+);", line) for line in process.stdout)
        url = next(match[1] for match in found if match)
        with httpx.Client(base_url=url, headers=headers, timeout=600) as client:
            yield process, client
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def prepare(folder: Path, backbone: str) -> Setup:
    """Make a store with a tenant, and choose the tasks: the examples, or a random one."""
    store = folder / "store"
    is_new = not store.exists()
    registry = open_registry(store)
    registry.ensure_tenant("acme")
    key = ApiKeys(registry.database).issue("acme", "bench", role="infer").key
    if backbone == "minilm":
        registry.close()
        names = sorted(path.stem for path in _EXAMPLES.glob("*.safetensors"))
        models = [f"examples/{name}" for name in names]
        return Setup(store, key, ("--examples-folder", str(_EXAMPLES)), models)
    from prefixes.backbone import load_backbone  # noqa: PLC0415 - torch is for the server alone
    from tests.factories import make_prefix  # noqa: PLC0415 - as above
    from tests.server.rest import put  # noqa: PLC0415 - as above

    path = folder / "backbone"
    if is_new:
        make_backbone_folder(path)
        put(registry, "acme/mood", make_prefix(load_backbone(path).fingerprint, seed=1))
    registry.close()
    return Setup(store, key, ("--backbone", str(path)), ["acme/mood"])


def lines(models: Sequence[str], num_rows: int) -> Iterator[bytes]:
    """Write short rows of alternating tasks, in pieces."""
    rows = (
        {
            "id": number,
            "model": models[number % len(models)],
            "text": " ".join(_WORDS[(number * step) % 8] for step in (1, 3, 5, 7)),
        }
        for number in range(num_rows)
    )
    piece: list[str] = []
    for row in rows:
        piece.append(json.dumps(row))
        if len(piece) == 1000:
            yield ("\n".join(piece) + "\n").encode()
            piece = []
    yield "\n".join(piece).encode()


def add(client: httpx.Client, setup: Setup, num_rows: int) -> str:
    """Send a file; return its path."""
    content = lines(setup.models, num_rows)
    added = client.post("/v1/batches", params={"top_k": 1}, content=content, headers=_JSONL)
    added.raise_for_status()
    return str(added.json()["links"]["self"])


def show(client: httpx.Client, path: str) -> dict[str, Any]:
    """Show a file."""
    shown: dict[str, Any] = client.get(path).raise_for_status().json()
    return shown


def check(client: httpx.Client, path: str, num_rows: int) -> None:
    """Check that each row has exactly one result, in order."""
    with client.stream("GET", f"{path}/results") as response:
        number = -1
        for number, line in enumerate(response.iter_lines()):
            result = json.loads(line)
            assert (result["index"], result["id"]) == (number, number), line[:200]
    assert number == num_rows - 1, number
    print(f"{num_rows} rows, each with exactly one result, in order")


def until_finished(client: httpx.Client, path: str, pause: float = 1.0) -> dict[str, Any]:
    """Wait until a file is finished."""
    while (shown := show(client, path))["state"] in {"queued", "running"}:
        time.sleep(pause)
    return shown


def kills(setup: Setup, num_rows: int, num_kills: int) -> None:
    """Kill the server several times while it answers a file."""
    path, began = "", time.monotonic()
    for number in range(num_kills):
        with server(setup) as (process, client):
            path = path or add(client, setup, num_rows)
            time.sleep(_SECONDS_BETWEEN_KILLS)
            shown = show(client, path)
            assert shown["state"] == "running", shown
            process.send_signal(signal.SIGKILL)
            process.wait()
            print(f"kill {number + 1} after {shown['num_done']} rows", flush=True)
    with server(setup) as (_, client):
        shown = until_finished(client, path)
        print(f"{shown['state']} in {time.monotonic() - began:.0f} s, {shown['num_failed']} failed")
        check(client, path, num_rows)


def memory(setup: Setup, num_rows: int, max_seconds: float) -> None:
    """Report the resident memory of the server while it answers a file, or a part of it."""
    with server(setup) as (process, client):
        unfinished = _unfinished(client)
        before = _resident_mib(process.pid)
        if unfinished is None:
            until_finished(client, add(client, setup, 2000))  # warms everything up
            before = _resident_mib(process.pid)
        path = unfinished or add(client, setup, num_rows)
        print(f"resident MiB: before {before:.0f}, received {_resident_mib(process.pid):.0f}")
        began, found = time.monotonic(), [before]
        first = show(client, path)["num_done"]
        while (shown := show(client, path))["state"] in {"queued", "running"}:
            found.append(_resident_mib(process.pid))
            if time.monotonic() - began > max_seconds:
                break
            time.sleep(0.5)
        rate = (shown["num_done"] - first) / (time.monotonic() - began)
        points = [found[number * (len(found) - 1) // 10] for number in range(11)]
        print(f"{shown['state']} with {shown['num_done']} rows, {rate:.0f} rows/s")
        curve = ", ".join(f"{point:.0f}" for point in points)
        print(f"resident MiB: most {max(found):.0f}; over time {curve}")
        if shown["state"] == "succeeded":
            check(client, path, num_rows)


def _unfinished(client: httpx.Client) -> str | None:
    batches = client.get("/v1/batches").raise_for_status().json()["batches"]
    running = (one["links"]["self"] for one in batches if one["state"] in {"queued", "running"})
    return next(running, None)


def requests(setup: Setup, seconds: float, pause: float) -> None:
    """Measure one connection, without and with a file that runs, in alternating rounds."""
    with server(setup) as (_, client):
        _latencies(client, setup, 3, 0.005)
        rounds: dict[str, list[float]] = {"without": [], "with": []}
        num_done = 0
        for _ in range(3):
            rounds["without"] += _latencies(client, setup, seconds, pause)
            path = add(client, setup, 200_000)
            while not show(client, path)["num_done"]:
                time.sleep(0.2)
            started = show(client, path)["num_done"]
            rounds["with"] += _latencies(client, setup, seconds, pause)
            num_done += show(client, path)["num_done"] - started
            client.post(f"{path}/cancel").raise_for_status()
            until_finished(client, path)
        for name, found in rounds.items():
            median, slow = (1000 * quantile(found, share) for share in (0.5, 0.99))
            print(f"{name} a file: p50 {median:.1f} ms, p99 {slow:.1f} ms, {len(found)} requests")
        print(f"the files answered {num_done / (3 * seconds):.0f} rows/s meanwhile")


def _latencies(client: httpx.Client, setup: Setup, seconds: float, pause: float) -> list[float]:
    body = {"model": setup.models[0], "input": "good late train prize"}
    found, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        started = time.monotonic()
        client.post("/v1/predict", json=body).raise_for_status()
        found.append(time.monotonic() - started)
        time.sleep(pause)
    return found


def _resident_mib(process_id: int) -> float:
    fields = Path(f"/proc/{process_id}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    """Run what the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("kills", "memory", "requests"))
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--pause", type=float, default=0.005, help="Seconds between requests.")
    parser.add_argument("--max-seconds", type=float, default=1e9)
    parser.add_argument("--folder", type=Path, help="Keeps the store, so that a part continues.")
    parser.add_argument("--backbone", choices=("minilm", "tiny"), default="minilm")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        setup = prepare(options.folder or Path(folder), options.backbone)
        if options.what == "kills":
            kills(setup, options.rows, options.kills)
        elif options.what == "memory":
            memory(setup, options.rows, options.max_seconds)
        else:
            requests(setup, options.seconds, options.pause)


if __name__ == "__main__":
    main()
