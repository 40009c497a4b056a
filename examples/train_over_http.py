"""From a labeled file to a task that answers, over HTTP alone: queue a training, follow it, ask.

Needs a running server (`make serve`) and a key for a tenant, on any machine that reaches it:

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
    """Train and ask; exit with 1 when the training comes to nothing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--key", default=os.environ.get("POLYPREFIX_KEY", ""))
    parser.add_argument("--tenant", default="acme", help="the tenant of the key")
    parser.add_argument("--task", default="messages", help="the name to publish under")
    parser.add_argument("--file", type=Path, default=ROWS, help="labeled rows")
    parser.add_argument("--config", type=json.loads, default=QUICK, help="fields of a training")
    parser.add_argument("--question", default=QUESTION, help="a text to ask about in the end")
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
    """Send the rows; gives the training that waits for its turn."""
    with file.open("rb") as rows:
        return checked(
            client.post(
                path,
                files={"file": (file.name, rows)},
                data={"task": task, "config": json.dumps(config)},
            )
        )


def follow(client: httpx.Client, path: str) -> dict[str, Any]:
    """Tell each evaluation as it happens; gives the training as it has ended."""
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
    """Read server-sent events of one line of JSON each."""
    kind = ""
    for line in lines:
        name, _, value = line.partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            yield kind, json.loads(value)


def checked(reply: httpx.Response) -> dict[str, Any]:
    """Give what a reply says, or end with the server's own sentence."""
    if reply.is_error:
        sys.exit(reply.text)
    content: dict[str, Any] = reply.json()
    return content


if __name__ == "__main__":
    sys.exit(main())
