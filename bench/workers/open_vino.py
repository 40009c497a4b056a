"""OpenVINO with one fine-tuned model, texts sorted by length."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import openvino
from exported import Logits, example
from protocol import Run, by_length, padded, serve

PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}


def load(job: dict[str, Any]) -> dict[str, dict[str, Run]]:
    classifier = Logits(job["model"])
    # One stream: all threads for one batch, as for all contenders.
    network = compiled(converted(classifier), job, num_streams=1)
    run = partial(answer, network, classifier.pad)
    return {
        name: {"OpenVINO, one model": partial(_all, run, by_length(work["tokens"], work["batch"]))}
        for name, work in job["workloads"].items()
    }


def converted(classifier: Logits) -> openvino.Model:
    return openvino.convert_model(classifier, example_input=example())


def compiled(model: openvino.Model, job: dict[str, Any], *, num_streams: int) -> Any:
    """Compile a model for concurrent batches that share the threads of a job."""
    settings = {
        "INFERENCE_NUM_THREADS": job["threads"],
        "INFERENCE_PRECISION_HINT": PRECISIONS[job["dtype"]],
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": num_streams,
        "ENABLE_CPU_PINNING": False,  # pinned threads would wait for cores that other processes use
    }
    network = openvino.Core().compile_model(model, "CPU", settings)
    given = network.get_property("INFERENCE_PRECISION_HINT").to_string()
    if given != PRECISIONS[job["dtype"]]:
        raise ValueError(f"OpenVINO runs in {given} on this processor, not in {job['dtype']}")
    return network


def answer(infer: Callable[[list[Any]], Any], pad: int, texts: list[list[int]]) -> int:
    """Run a batch of token ids; return the number of texts."""
    ids, mask = (np.array(values, dtype=np.int64) for values in padded(texts, pad))
    return len(infer([ids, mask])[0])


def _all(run: Callable[[list[list[int]]], int], batches: list[list[list[int]]]) -> int:
    return sum(map(run, batches))


if __name__ == "__main__":
    serve(load)
