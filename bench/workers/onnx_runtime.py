"""ONNX Runtime with one fine-tuned model, texts sorted by length."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from exported import Logits, example
from onnx_sessions import answer, session
from protocol import Run, by_length, serve


def load(job: dict[str, Any]) -> dict[str, dict[str, Run]]:
    if job["dtype"] != "float32":
        raise ValueError(f"ONNX Runtime does not run these layers in {job['dtype']} on a processor")
    torch.set_num_threads(job["threads"])
    classifier = Logits(job["model"])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        export(classifier, file)
        run = partial(answer, session(file, job["threads"]), classifier.pad)
    return {
        name: {
            "ONNX Runtime, one model": partial(_all, run, by_length(work["tokens"], work["batch"]))
        }
        for name, work in job["workloads"].items()
    }


def export(classifier: Logits, file: Path) -> None:
    """Write a classifier to an ONNX file, with its weights in a second file if they are large."""
    axes = {0: torch.export.Dim("texts"), 1: torch.export.Dim("tokens")}
    torch.onnx.export(
        classifier,
        example(),
        str(file),
        dynamo=True,
        input_names=["input_ids", "attention_mask"],
        dynamic_shapes={"input_ids": axes, "attention_mask": axes},
    )


def _all(run: Callable[[list[list[int]]], int], batches: list[list[list[int]]]) -> int:
    return sum(map(run, batches))


if __name__ == "__main__":
    serve(load)
