"""One process of ONNX Runtime with N fine-tuned models; a batch has texts of random tasks.

Each task's texts of a batch run in the session of its model. All sessions share the threads and the
allocator, which is the configuration that needs the least memory.
"""

from collections import defaultdict
from functools import partial
from typing import Any

import onnxruntime
from closed_loop import in_order
from onnx_sessions import answer
from protocol import Run, serve

Text = tuple[list[int], int]
"""Token ids, and the number of the task."""


def load(job: dict[str, Any]) -> dict[str, dict[str, Run]]:
    onnxruntime.set_global_thread_pool_sizes(job["threads"], 1)
    sessions = [_session(file) for file in job["files"]]

    def run(batches: list[list[Text]]) -> int:
        return sum(_run(sessions, job["pad"], batch) for batch in batches)

    return {
        name: {
            str(size): partial(
                run, in_order(_texts(work, len(sessions)), size)[: job["max_batches"]]
            )
            for size in job["batches"]
        }
        for name, work in job["workloads"].items()
    }


def _session(file: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.use_per_session_threads = False
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def _texts(work: dict[str, Any], num_tasks: int) -> list[Text]:
    pairs = zip(work["tokens"], work["tasks"], strict=True)
    return [(ids, task % num_tasks) for ids, task in pairs]


def _run(sessions: list[onnxruntime.InferenceSession], pad: int, batch: list[Text]) -> int:
    by_task: defaultdict[int, list[list[int]]] = defaultdict(list)
    for ids, task in batch:
        by_task[task].append(ids)
    return sum(answer(sessions[task], pad, texts) for task, texts in by_task.items())


if __name__ == "__main__":
    serve(load)
