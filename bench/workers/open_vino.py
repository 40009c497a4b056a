"""OpenVINO with one fine-tuned model, texts sorted by length."""

from typing import Any

import numpy as np
import openvino
from exported import Logits, example
from protocol import Run, by_length, padded, serve

PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}


def load(job: dict[str, Any]) -> dict[str, dict[str, Run]]:
    classifier = Logits(job["model"])
    model = openvino.convert_model(classifier, example_input=example())
    settings = {
        "INFERENCE_NUM_THREADS": job["threads"],
        "INFERENCE_PRECISION_HINT": PRECISIONS[job["dtype"]],
        "PERFORMANCE_HINT": "LATENCY",  # all threads for one batch, as for all contenders
        "ENABLE_CPU_PINNING": False,  # pinned threads would wait for cores that other processes use
    }
    compiled = openvino.Core().compile_model(model, "CPU", settings)
    given = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    if given != PRECISIONS[job["dtype"]]:
        raise ValueError(f"OpenVINO runs in {given} on this processor, not in {job['dtype']}")
    return {
        name: {
            "OpenVINO, one model": _sorted(compiled, work["tokens"], work["batch"], classifier.pad)
        }
        for name, work in job["workloads"].items()
    }


def _sorted(compiled: Any, tokens: list[list[int]], batch: int, pad: int) -> Run:
    batches = by_length(tokens, batch)

    def run() -> int:
        rows = 0
        for texts in batches:
            ids, mask = (np.array(values, dtype=np.int64) for values in padded(texts, pad))
            rows += len(compiled([ids, mask])[0])
        return rows

    return run


if __name__ == "__main__":
    serve(load)
