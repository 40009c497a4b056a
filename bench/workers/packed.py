"""Our packed backbone with and without prefixes, and the linear layers of its encoder alone."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from linear_layers import EXACT, INT8, PLAIN, LinearLayers, encoder_layers
from protocol import Contender, serve
from torch import Tensor
from transformers import AutoModel

from bench.kernels import arguments, names_of, plain_arguments
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
Named = Iterator[tuple[str, Contender]]


def load(job: dict[str, Any]) -> dict[str, dict[str, Contender]]:
    torch.set_num_threads(job["threads"])
    make = _Quantized if job["quantize"] else _Exact
    contenders = make(job)
    return {name: dict(contenders.of(work)) for name, work in job["workloads"].items()}


class _Quantized:
    """The contenders of a quantized backbone."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._kind = job["quantize"]
        self._backbone = load_backbone(
            job["model"], device="cpu", quantize=self._kind, **arguments(job)
        )
        self._many = _residents(self._backbone, [job["prefix_length"]] * job["num_tasks"])
        self._fastest = LinearLayers(encoder_layers(AutoModel.from_pretrained(job["model"])), INT8)

    def of(self, work: dict[str, Any]) -> Named:
        tokens, batch = work["tokens"], work["batch"]
        name = f"{_prefixes(len(self._many[1]))}, {self._kind}"
        yield name, _mixed(self._backbone, self._many, tokens, work["uniform"], batch)
        products = self._fastest.contender(_sizes(tokens, batch), len(tokens))
        yield f"fastest linear layers alone, {self._kind}", products


class _Exact:
    """The contenders of a backbone in one number type."""

    def __init__(self, job: dict[str, Any]) -> None:
        load_one = partial(load_backbone, job["model"], device="cpu", dtype=job["dtype"])
        self._job = job
        self._backbone = load_one(**arguments(job))
        self._plain = load_one(**plain_arguments())
        layers = encoder_layers(self._plain.model)
        self._linear = LinearLayers(layers, {PLAIN: EXACT[PLAIN]})
        self._fastest = LinearLayers(layers, EXACT)
        self._many = _residents(self._backbone, [job["prefix_length"]] * job["num_tasks"])
        none = [0] * job["num_tasks"]
        self._vectors = _residents(self._backbone, none)
        self._rank = job["rank"]
        self._with_rank = _residents(self._backbone, none, rank=self._rank)
        lengths, count = job["prefix_lengths"], job["num_per_length"]
        self._by_length = {
            str(length): _residents(self._backbone, [length] * count) for length in lengths
        }
        mixed = _residents(self._backbone, lengths * count)
        self._by_length[f"{lengths[0]} to {lengths[-1]}"] = mixed

    def of(self, work: dict[str, Any]) -> Named:
        """Make the contenders of a workload: the main ones, or with `detailed` all."""
        tokens, tasks, batch = work["tokens"], work["uniform"], work["batch"]
        sizes = _sizes(tokens, batch)
        yield f"{PLAIN} layers alone", self._linear.contender(sizes, len(tokens))
        yield "fastest linear layers alone", self._fastest.contender(sizes, len(tokens))
        yield "no prefix", _bare(self._backbone, tokens, batch)
        ours = _prefixes(len(self._many[1]))
        yield f"{ours}, plain kernels", _mixed(self._plain, self._many, tokens, tasks, batch)
        vectors = f"{len(self._vectors[1])} vectors"
        yield vectors, _mixed(self._backbone, self._vectors, tokens, tasks, batch)
        with_rank = f"{vectors} of rank {self._rank}"
        yield with_rank, _mixed(self._backbone, self._with_rank, tokens, tasks, batch)
        if work["detailed"]:
            yield from self._details(work)
        else:
            yield ours, _mixed(self._backbone, self._many, tokens, tasks, batch)

    def _details(self, work: dict[str, Any]) -> Named:
        tokens, tasks = work["tokens"], work["uniform"]
        mixed = partial(_mixed, self._backbone, batch=work["batch"])
        for few in self._job["task_counts"]:
            yield _prefixes(few), mixed(self._many, tokens, _among(few, tasks))
        zipf = f"{_prefixes(self._job['num_tasks'])}, Zipf"
        yield zipf, mixed(self._many, tokens, work["zipf"])
        for length, residents in self._by_length.items():
            count = len(residents[1])
            name = f"{_prefixes(count)} of length {length}"
            yield name, mixed(residents, tokens, _among(count, tasks))


def _prefixes(count: int) -> str:
    return "1 prefix" if count == 1 else f"{count} prefixes"


def _among(count: int, tasks: Sequence[int]) -> list[int]:
    return [task % count for task in tasks]


def _residents(backbone: Backbone, lengths: Sequence[int], *, rank: int = 0) -> Residents:
    facts = backbone.fingerprint
    prefixes = [random_prefix(facts, n, seed, rank=rank) for seed, n in enumerate(lengths)]
    return pool_of(backbone, prefixes)


def _sizes(tokens: Sequence[list[int]], batch: int) -> list[int]:
    """Return the number of tokens of each batch."""
    return [sum(map(len, tokens[start : start + batch])) for start in range(0, len(tokens), batch)]


def _mixed(
    backbone: Backbone,
    residents: Residents,
    tokens: list[list[int]],
    tasks: Sequence[int],
    batch: int,
) -> Contender:
    """Classify in the order of arrival, each text by its task's prefix and head."""
    pool, prefixes = residents
    work = [(_text(ids), prefixes[task]) for ids, task in zip(tokens, tasks, strict=True)]

    def run() -> int:
        return sum(
            len(run_mixed(backbone, pool, work[start : start + batch]))
            for start in range(0, len(work), batch)
        )

    return Contender(run, names_of(backbone))


def _bare(backbone: Backbone, tokens: list[list[int]], batch: int) -> Contender:
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

    return Contender(run, names_of(backbone))


def _text(token_ids: list[int]) -> EncodedText:
    return EncodedText(tuple(token_ids), (0,) * len(token_ids))


if __name__ == "__main__":
    serve(load)
