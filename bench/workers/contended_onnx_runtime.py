"""ONNX Runtime with one fine-tuned model, in each layout of its threads, under a closed loop."""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch
from closed_loop import Submit, contenders
from exported import Logits
from onnx_runtime import export
from onnx_sessions import answer, session
from protocol import Run, serve


def load(job: dict[str, Any]) -> dict[str, dict[str, Run]]:
    torch.set_num_threads(job["threads"])
    classifier = Logits(job["model"])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        export(classifier, file)

        def layout(num_streams: int) -> Submit[list[int]]:
            run = partial(answer, session(file, job["threads"] // num_streams), classifier.pad)
            return partial(ThreadPoolExecutor(num_streams).submit, run)

        layouts = {name: layout(num) for name, num in job["layouts"].items()}
    return contenders(job, layouts, job["tokens"])


if __name__ == "__main__":
    serve(load)
