"""Speed and error of int8: speed of layers, and drift of golden examples, intact and damaged.

    python bench/int8.py FILE... [--backbone minilm]

FILEs are prefix files with golden examples. The drift is the largest relative difference over a
file's examples, as `prefixes/backbone/replay.py` computes it for its tolerance. The drifts of
damaged copies show what the tolerance must reject. Speeds are ratios of CPU time on one thread: the
shortest of several alternating turns, since other programs may be running.
"""

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from torch import nn

from bench.kernels import names_of
from prefixes import Prefix
from prefixes.backbone import Backbone, MixedBatch, load_backbone, pool_of
from prefixes.backbone.kernels.quantized_linear import QuantizedLinear
from prefixes.backbone.replay import drifts, golden_outputs

SHAPES: Final = ((384, 384), (384, 1536), (1536, 384), (768, 768), (768, 3072), (3072, 768))
TOKENS: Final = (1300, 64)
TURNS: Final = 11


def _speeds() -> None:
    print("tokens  layer        float32 ms  int8, times as fast  distance")
    for num_tokens in TOKENS:
        for inputs, outputs in SHAPES:
            linear = nn.Linear(inputs, outputs)
            tokens = torch.randn(num_tokens, inputs)
            with torch.inference_mode():
                layers = (linear, QuantizedLinear(linear))
                exact, rounded = (layer(tokens) for layer in layers)
                plain, fast = _shortest([partial(layer, tokens) for layer in layers])
            distance = float((exact - rounded).norm() / exact.norm())
            print(
                f"{num_tokens:6}  {inputs:4} x {outputs:4}  {plain * 1000:10.2f}  "
                f"{plain / fast:19.2f}  {distance:8.4f}"
            )


def _shortest(calls: Sequence[Callable[[], object]]) -> list[float]:
    seconds = [float("inf")] * len(calls)
    for _ in range(TURNS):
        for number, call in enumerate(calls):
            started = time.process_time()
            call()
            seconds[number] = min(seconds[number], time.process_time() - started)
    return seconds


def _whole(backbones: Mapping[str, Backbone], prefix: Prefix) -> None:
    """Time the whole forward pass over golden examples with a given total of tokens."""
    for num_tokens in (*TOKENS, 1):  # the last is a single text
        calls = []
        for backbone in backbones.values():
            pool, (resident,) = pool_of(backbone, [prefix])
            fields = [example.fields for example in prefix.spec.golden]
            encoded = itertools.cycle(backbone.texts.encode(prefix.spec, fields))
            texts = [next(encoded)[0]]
            while sum(len(text.token_ids) for text in texts) < num_tokens:
                texts.append(next(encoded)[0])
            batch = MixedBatch.pack(backbone, [(text, resident) for text in texts])
            calls.append(partial(batch.outputs, backbone, pool))
        plain, fast = _shortest(calls)
        print(f"{num_tokens:6}  whole pass   {plain * 1000:10.2f}  {plain / fast:19.2f}")


def _damaged(prefix: Prefix) -> Iterator[tuple[str, Prefix]]:
    spec, tensors = prefix.spec, prefix.tensors

    def copy(name: str, **changes: Any) -> tuple[str, Prefix]:
        return name, replace(prefix, tensors={**tensors, **changes})

    noise = np.random.default_rng(0)
    head = "head.output.weight"
    if head in tensors and len(tensors[head]) > 1:
        yield copy("outputs in another order", **{head: np.roll(tensors[head], 1, axis=0)})
    if spec.method == "prompt":
        name = "prompt.embeddings"
        yield copy("prompt is zero", **{name: 0 * tensors[name]})
        return
    if spec.method == "vectors":
        zeros = {name: 0 * x for name, x in tensors.items() if name.startswith("norms.")}
        yield copy("vectors are zero", **zeros)
        return
    if spec.method == "head":
        return
    keys, values = tensors["prefix.keys"], tensors["prefix.values"]
    yield copy("keys and values swapped", **{"prefix.keys": values, "prefix.values": keys})
    yield copy(
        "layers in another order",
        **{"prefix.keys": np.roll(keys, 1, axis=0), "prefix.values": np.roll(values, 1, axis=0)},
    )
    yield copy("keys are zero", **{"prefix.keys": 0 * keys})
    yield copy("values are zero", **{"prefix.values": 0 * values})
    last = values.copy()
    last[-1] *= -1
    yield copy("values of the last layer negated", **{"prefix.values": last})
    rough = values + noise.normal(0, float(values.std()), values.shape).astype(values.dtype)
    yield copy("noise on all values", **{"prefix.values": rough})
    yield (
        "another position",
        Prefix(spec.model_copy(update={"position_offset": spec.position_offset + 8}), tensors),
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--backbone", default="minilm")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    _speeds()
    with tempfile.TemporaryDirectory() as folder:
        # One cache, so that both run the same attention.
        load = partial(
            load_backbone,
            options.backbone,
            device="cpu",
            kernel_cache=Path(folder) / "kernels.json",
        )
        backbones = {"float32": load(), "int8": load(quantize="int8")}
    for name, backbone in backbones.items():
        print(f"kernels of {name}: {names_of(backbone)}")
    int8 = backbones["int8"]
    prefixes = {path: Prefix.load(path, fits=[int8.fingerprint]) for path in options.files}
    _whole(backbones, next(iter(prefixes.values())))
    for path, prefix in prefixes.items():
        print(f"\n{path} ({prefix.spec.task_type}, {prefix.spec.method})")
        for name, backbone in backbones.items():
            print(f"  {_drift(backbone, prefix):8.4f}  {name}")
        for name, damaged in _damaged(prefix):
            print(f"  {_drift(int8, damaged):8.4f}  int8, {name}")


def _drift(backbone: Backbone, prefix: Prefix) -> float:
    pool, (resident,) = pool_of(backbone, [prefix])
    return max(drifts(prefix.spec, golden_outputs(backbone, pool, resident)))


if __name__ == "__main__":
    main()
