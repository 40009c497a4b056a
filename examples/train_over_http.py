"""Train a task over HTTP: queue a training, follow its events, send a text to the new version.

Needs a running server (`make serve`) and the key of a tenant. Runs on any machine that reaches the
server:

    export POLYPREFIX_KEY=$(.venv/bin/polyprefix key create acme)
    .venv/bin/python examples/train_over_http.py
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

ROWS = Path(__file__).resolve().parent / "data" / "spam" / "train.jsonl"
QUICK = {"max_rows": 400, "min_steps": 80}
QUESTION = "URGENT! You have won a 1000 pounds prize. Call 09061701461 now to claim."


def main() -> int:
    """Train a task and classify a text; return 1 if the training fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--key", default=os.environ.get("POLYPREFIX_KEY", ""))
    parser.add_argument("--tenant", default="acme", help="tenant of the key")
    parser.add_argument("--task", default="messages", help="name of the task to publish")
    parser.add_argument("--file", type=Path, default=ROWS, help="file with labeled rows")
    parser.add_argument("--config", type=json.loads, default=QUICK, help="settings, in JSON")
    parser.add_argument("--question", default=QUESTION, help="text that the new version classifies")
    options = parser.parse_args()
    headers = {"Authorization": f"Bearer {options.key}"}
    with httpx.Client(base_url=options.url, headers=headers, timeout=60) as client:
        path = f"/v1/tenants/{options.tenant}/trainings"
        queued = queue(client, path, options.file, options.task, options.config)
        ended = follow(client, f"{path}/{queued['id']}/events")
        if ended["state"] != "succeeded":
            print(json.dumps(ended["error"], indent=1), file=sys.stderr)
            return 1
        print(f"Published {ended['result']['ref']}")
        body = {"model": options.task, "input": options.question}
        answer = checked(client.post("/v1/classify", json=body))
        print(json.dumps(answer, indent=1))
    return 0


def queue(
    client: httpx.Client, path: str, file: Path, task: str, config: dict[str, Any]
) -> dict[str, Any]:
    """Upload the rows, and return the queued training."""
    with file.open("rb") as rows:
        return checked(
            client.post(
                path,
                files={"file": (file.name, rows)},
                data={"task": task, "config": json.dumps(config)},
            )
        )


def follow(client: httpx.Client, path: str) -> dict[str, Any]:
    """Print each state and evaluation when it arrives, and return the finished training."""
    training: dict[str, Any] = {}
    with client.stream("GET", path, timeout=None) as stream:
        stream.raise_for_status()
        for kind, content in events(stream.iter_lines()):
            if kind == "state":
                training = content
                print(training["state"])
            elif kind == "evaluation":
                latest = content["latest"]
                print(f"step {content['step']} of {content['total_steps']}: {latest['metrics']}")
    return training


def events(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Parse server-sent events that have one line of JSON each."""
    kind = ""
    for line in lines:
        name, _, value = line.partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            yield kind, json.loads(value)


def checked(reply: httpx.Response) -> dict[str, Any]:
    """Return the content of a response, or exit with the server's error."""
    if reply.is_error:
        sys.exit(reply.text)
    content: dict[str, Any] = reply.json()
    return content


if __name__ == "__main__":
    sys.exit(main())
