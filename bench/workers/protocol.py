"""The worker's side of the bench: JSON lines in and out, in any environment with plain Python.

A line `{"do": "load", "job": {...}}` is answered by `{"contenders": {workload: [name, ...]}}`, a
line `{"do": "run", "workload": ..., "contender": ...}` by `{"seconds": ..., "rows": ...}`, and a
line that fails by `{"error": ...}`.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

Run = Callable[[], int]
"""Does the work once and returns how many texts were answered."""

Load = Callable[[dict[str, Any]], dict[str, dict[str, Run]]]
"""Makes all that a job asks for; contenders by workload and name."""


def serve(load: Load) -> None:
    """Answer lines until the input ends."""
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # libraries print to standard output; replies must stay alone there
    runs: dict[str, dict[str, Run]] = {}
    for line in sys.stdin:
        message = json.loads(line)
        try:
            if message["do"] == "load":
                runs = load(message["job"])
                reply = {"contenders": {name: list(each) for name, each in runs.items()}}
            else:
                reply = _timed(runs[message["workload"]][message["contender"]])
        except Exception as error:  # noqa: BLE001 - the bench reports whatever it is, and goes on
            reply = {"error": f"{type(error).__name__}: {error}".partition("\n")[0]}
        replies.write(json.dumps(reply) + "\n")


def _timed(run: Run) -> dict[str, Any]:
    started = time.perf_counter()
    rows = run()
    return {"seconds": time.perf_counter() - started, "rows": rows}


def by_length(tokens: list[list[int]], batch: int) -> list[list[list[int]]]:
    """Cut texts into batches of similar length, so that little is padded."""
    ordered = sorted(tokens, key=len)
    return [ordered[start : start + batch] for start in range(0, len(ordered), batch)]


def padded(texts: list[list[int]], pad: int) -> tuple[list[list[int]], list[list[int]]]:
    """Pad texts to the longest of them; returns the token ids and the attention mask."""
    longest = max(len(text) for text in texts)
    ids = [text + [pad] * (longest - len(text)) for text in texts]
    mask = [[1] * len(text) + [0] * (longest - len(text)) for text in texts]
    return ids, mask
