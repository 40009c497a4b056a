"""PolyLoRA: LoRA adapters of many tasks in one padded batch. Its heads are not task-specific."""

from typing import Any

import torch
from closed_loop import in_order
from polylora import PolyLoraConfig, PolyLoraModel
from polylora.store import CpuLayerWeights
from protocol import Run, padded, serve
from torch import Tensor
from transformers import AutoModelForSequenceClassification

RANK = 8
TARGETS = ["query", "value"]  # PEFT's default for BERT


def load(job: dict[str, Any]) -> dict[str, dict[str, Run]]:
    torch.set_num_threads(job["threads"])
    base = AutoModelForSequenceClassification.from_pretrained(
        job["model"], dtype=getattr(torch, job["dtype"])
    )
    # Only the requested tasks: others would cost memory, but no time.
    tasks = sorted({task for work in job["workloads"].values() for task in work["uniform"]})
    config = PolyLoraConfig(max_gpu_adapters=len(tasks), max_rank=RANK, target_modules=TARGETS)
    model = PolyLoraModel(base, config).eval()
    for task in tasks:
        model.adapter_store.add_adapter(str(task), _adapter(model))
    return {
        name: {f"PolyLoRA, rank {RANK}": _mixed(model, base.config.pad_token_id, work)}
        for name, work in job["workloads"].items()
    }


def _adapter(model: PolyLoraModel) -> dict[str, CpuLayerWeights]:
    return {
        spec.name: CpuLayerWeights(
            A=_random(spec.in_features, RANK),
            B=_random(RANK, spec.out_features),
            rank=RANK,
            scale=1,
        )
        for spec in model.module_specs
    }


def _random(*shape: int) -> Tensor:
    return torch.randn(shape) / 100


def _mixed(model: PolyLoraModel, pad: int, work: dict[str, Any]) -> Run:
    """Run batches in the order of arrival, each text with the adapter of its task."""
    texts = list(zip(work["tokens"], map(str, work["uniform"]), strict=True))
    batches = in_order(texts, work["batch"])

    @torch.inference_mode()
    def run() -> int:
        rows = 0
        for batch in batches:
            tokens, adapters = ([*column] for column in zip(*batch, strict=True))
            ids, mask = (torch.tensor(values) for values in padded(tokens, pad))
            output = model(input_ids=ids, attention_mask=mask, adapter_ids=adapters)
            rows += len(output.logits)
        return rows

    return run


if __name__ == "__main__":
    serve(load)
