"""The protocol of workers: commands and replies as JSON lines, in plain Python.

| command | reply |
|---|---|
| `{"do": "load", "job": {...}}` | `{"contenders": {workload: {name: {...}}}}` |
| `{"do": "run", "workload": ..., "contender": ...}` | `{"seconds": ..., "rows": ..., ...}` |
| a command that fails | `{"error": ...}` |

The facts about a contender are its `kernels` by operation, and its number of `operations`:
multiplications and additions of one run, 0 if it is not known. The reply to a closed loop also has
its `latencies`.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Run = Callable[[], int | list[float]]
"""Does the work once; returns the number of processed texts, or the latency of each in seconds."""


@dataclass(frozen=True)
class Contender:
    """A run with the facts about it that are known."""

    run: Run
    kernels: Mapping[str, str] = field(default_factory=dict)
    operations: int = 0

    def __call__(self) -> int | list[float]:
        return self.run()


Load = Callable[[dict[str, Any]], Mapping[str, Mapping[str, Run]]]
"""Creates the contenders of a job, by workload and name."""


def serve(load: Load) -> None:
    """Reply to commands until the input ends."""
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # libraries print to standard output, which is reserved for replies
    runs: Mapping[str, Mapping[str, Run]] = {}
    for line in sys.stdin:
        message = json.loads(line)
        try:
            if message["do"] == "load":
                runs = load(message["job"])
                reply: dict[str, Any] = {"contenders": _described(runs)}
            else:
                reply = _timed(runs[message["workload"]][message["contender"]])
        except Exception as error:  # noqa: BLE001 - the bench reports any error and continues
            reply = {"error": f"{type(error).__name__}: {error}".partition("\n")[0]}
        replies.write(json.dumps(reply) + "\n")


def _described(runs: Mapping[str, Mapping[str, Run]]) -> dict[str, dict[str, Any]]:
    return {
        workload: {name: _facts(run) for name, run in each.items()}
        for workload, each in runs.items()
    }


def _facts(run: Run) -> dict[str, Any]:
    if not isinstance(run, Contender):
        return {"kernels": {}, "operations": 0}
    return {"kernels": dict(run.kernels), "operations": run.operations}


def _timed(run: Run) -> dict[str, Any]:
    started = time.perf_counter()
    done = run()
    seconds = time.perf_counter() - started
    if isinstance(done, int):
        return {"seconds": seconds, "rows": done, "latencies": []}
    return {"seconds": seconds, "rows": len(done), "latencies": done}


def by_length(tokens: list[list[int]], batch: int) -> list[list[list[int]]]:
    """Divide texts into batches of similar length, to reduce padding."""
    ordered = sorted(tokens, key=len)
    return [ordered[start : start + batch] for start in range(0, len(ordered), batch)]


def padded(texts: list[list[int]], pad: int) -> tuple[list[list[int]], list[list[int]]]:
    """Pad texts to the longest; return the token ids and the attention mask."""
    longest = max(len(text) for text in texts)
    ids = [text + [pad] * (longest - len(text)) for text in texts]
    mask = [[1] * len(text) + [0] * (longest - len(text)) for text in texts]
    return ids, mask
