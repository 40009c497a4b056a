"""Writes ONNX files of N fine-tuned models: one classifier with slightly different weights."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from exported import Logits
from onnx_runtime import export
from protocol import Run, serve

_CHANGE = 1e-3
"""Standard deviation of a weight's change, as a share of the weight."""


def load(job: dict[str, Any]) -> dict[str, dict[str, Run]]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        export(Logits(job["model"]), file)
        model = onnx.load(file)
    for seed, name in enumerate(job["files"]):
        changed = onnx.ModelProto()
        changed.CopyFrom(model)
        _change(changed, np.random.default_rng(seed))
        onnx.save(changed, name)
    return {}


def _change(model: onnx.ModelProto, rng: np.random.Generator) -> None:
    """Multiply every weight by a random number close to 1."""
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            values = onnx.numpy_helper.to_array(tensor)
            factors = 1 + _CHANGE * rng.standard_normal(values.shape, dtype=np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values * factors, tensor.name))


if __name__ == "__main__":
    serve(load)
