"""Our packed backbone with and without prefixes, and its linear layers alone."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from protocol import Run, serve
from torch import Tensor, nn
from transformers import AutoModel

from bench.random_prefixes import random_prefix
from prefixes.backbone import (
    Backbone,
    EncodedText,
    ResidentPrefix,
    load_backbone,
    pool_of,
    run_mixed,
)

Residents = tuple[Tensor, list[ResidentPrefix]]


def load(job: dict[str, Any]) -> dict[str, dict[str, Run]]:
    torch.set_num_threads(job["threads"])
    make = _quantized if job["quantize"] else _exact
    return make(job)


def _quantized(job: dict[str, Any]) -> dict[str, dict[str, Run]]:
    kind, count = job["quantize"], job["num_tasks"]
    backbone = load_backbone(job["model"], device="cpu", quantize=kind)
    many = _residents(backbone, [job["prefix_length"]] * count)
    return {
        name: {
            f"{count} prefixes, {kind}": _mixed(
                backbone, many, work["tokens"], work["uniform"], job["batch"]
            )
        }
        for name, work in job["workloads"].items()
    }


def _exact(job: dict[str, Any]) -> dict[str, dict[str, Run]]:
    backbone = load_backbone(job["model"], device="cpu", dtype=job["dtype"])
    many = _residents(backbone, [job["prefix_length"]] * job["num_tasks"])
    lengths, count = job["prefix_lengths"], job["num_per_length"]
    by_length = {str(length): _residents(backbone, [length] * count) for length in lengths}
    by_length[f"{lengths[0]} to {lengths[-1]}"] = _residents(backbone, lengths * count)
    linears = Linears(job)
    runs: dict[str, dict[str, Run]] = {}
    for name, work in job["workloads"].items():
        tokens, tasks, batch = work["tokens"], work["uniform"], job["batch"]
        here = runs[name] = {
            "linear layers alone": partial(linears, tokens, batch),
            "no prefix": _bare(backbone, tokens, batch),
        }
        for few in job["task_counts"]:
            here[_prefixes(few)] = _mixed(backbone, many, tokens, _among(few, tasks), batch)
        zipf = f"{_prefixes(job['num_tasks'])}, Zipf"
        here[zipf] = _mixed(backbone, many, tokens, work["zipf"], batch)
        for length, residents in by_length.items():
            chosen = _among(len(residents[1]), tasks)
            title = f"{_prefixes(len(residents[1]))} of length {length}"
            here[title] = _mixed(backbone, residents, tokens, chosen, batch)
    return runs


def _prefixes(count: int) -> str:
    return "1 prefix" if count == 1 else f"{count} prefixes"


def _among(count: int, tasks: Sequence[int]) -> list[int]:
    return [task % count for task in tasks]


def _residents(backbone: Backbone, lengths: Sequence[int]) -> Residents:
    facts = backbone.fingerprint
    return pool_of(backbone, [random_prefix(facts, n, seed) for seed, n in enumerate(lengths)])


def _mixed(
    backbone: Backbone,
    residents: Residents,
    tokens: list[list[int]],
    tasks: Sequence[int],
    batch: int,
) -> Run:
    """Classify in the order of arrival, each text by its task's prefix and head."""
    pool, prefixes = residents
    work = [(_text(ids), prefixes[task]) for ids, task in zip(tokens, tasks, strict=True)]

    def run() -> int:
        return sum(
            len(run_mixed(backbone, pool, work[start : start + batch]))
            for start in range(0, len(work), batch)
        )

    return run


def _bare(backbone: Backbone, tokens: list[list[int]], batch: int) -> Run:
    """Run the packed backbone without any prefix or head."""
    texts = [_text(ids) for ids in tokens]
    pool = backbone.empty_pool(1)

    @torch.inference_mode()
    def run() -> int:
        rows = 0
        for start in range(0, len(texts), batch):
            packed = [backbone.row(text) for text in texts[start : start + batch]]
            backbone(backbone.pack(packed), pool)
            rows += len(packed)
        return rows

    return run


class Linears:
    """Only the linear layers of the encoder, once for every token."""

    def __init__(self, job: dict[str, Any]) -> None:
        model = AutoModel.from_pretrained(job["model"], dtype=getattr(torch, job["dtype"]))
        self._layers = [
            module
            for name, module in model.eval().named_modules()
            if isinstance(module, nn.Linear) and "pooler" not in name
        ]
        self._dtype = model.dtype
        self._inputs: dict[tuple[int, int], Tensor] = {}

    @torch.inference_mode()
    def __call__(self, tokens: list[list[int]], batch: int) -> int:
        for start in range(0, len(tokens), batch):
            num_tokens = sum(len(ids) for ids in tokens[start : start + batch])
            for layer in self._layers:
                layer(self._input(num_tokens, layer.in_features))
        return len(tokens)

    def _input(self, num_tokens: int, width: int) -> Tensor:
        shape = (num_tokens, width)
        if shape not in self._inputs:
            self._inputs[shape] = torch.randn(shape).to(self._dtype)
        return self._inputs[shape]


def _text(token_ids: list[int]) -> EncodedText:
    return EncodedText(tuple(token_ids), (0,) * len(token_ids))


if __name__ == "__main__":
    serve(load)
