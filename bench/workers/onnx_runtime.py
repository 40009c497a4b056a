"""ONNX Runtime with one fine-tuned model, texts sorted by length."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from exported import Logits, example
from protocol import Run, by_length, padded, serve


def load(job: dict[str, Any]) -> dict[str, dict[str, Run]]:
    if job["dtype"] != "float32":
        raise ValueError(f"ONNX Runtime does not run these layers in {job['dtype']} on a processor")
    torch.set_num_threads(job["threads"])
    session = _session(job)
    pad = Logits(job["model"]).pad
    return {
        name: {"ONNX Runtime, one model": _sorted(session, work["tokens"], work["batch"], pad)}
        for name, work in job["workloads"].items()
    }


def _session(job: dict[str, Any]) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job["threads"]
    # Its threads would otherwise keep spinning during the turns of others.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    axes = {0: torch.export.Dim("texts"), 1: torch.export.Dim("tokens")}
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "model.onnx")
        torch.onnx.export(
            Logits(job["model"]),
            example(),
            file,
            dynamo=True,
            input_names=["input_ids", "attention_mask"],
            dynamic_shapes={"input_ids": axes, "attention_mask": axes},
        )
        return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def _sorted(
    session: onnxruntime.InferenceSession, tokens: list[list[int]], batch: int, pad: int
) -> Run:
    batches = by_length(tokens, batch)

    def run() -> int:
        rows = 0
        for texts in batches:
            ids, mask = (np.array(values, dtype=np.int64) for values in padded(texts, pad))
            rows += len(session.run(None, {"input_ids": ids, "attention_mask": mask})[0])
        return rows

    return run


if __name__ == "__main__":
    serve(load)
