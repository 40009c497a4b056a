"""vLLM on a CPU: LoRA adapters of many tasks on one classifier, whose head they share.

vLLM classifies with adapters for RoBERTa, but not for BERT.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from closed_loop import in_order
from protocol import Run, serve
from safetensors.torch import save_file
from transformers import AutoConfig
from vllm import LLM
from vllm.lora.request import LoRARequest

RANK = 8
TARGETS = ("query", "value")
MAX_TOKENS = 256


def load(job: dict[str, Any]) -> dict[str, dict[str, Run]]:
    config = AutoConfig.from_pretrained(job["model"])
    if config.model_type != "roberta":
        raise ValueError(f"vLLM classifies with LoRA for RoBERTa, not for {config.model_type}")
    # Only the requested tasks: others would cost memory, but no time.
    tasks = sorted({task for work in job["workloads"].values() for task in work["uniform"]})
    folder = Path(tempfile.mkdtemp(prefix="vllm-", dir=job["model"]))
    adapters = {task: _adapter(config, folder / str(task), task) for task in tasks}
    largest = max(work["batch"] for work in job["workloads"].values())
    engine = LLM(
        job["model"],
        runner="pooling",
        dtype=job["dtype"],
        enable_lora=True,
        max_lora_rank=RANK,
        max_loras=min(largest, len(tasks)),
        max_cpu_loras=len(tasks),
        max_num_seqs=largest,
        max_model_len=MAX_TOKENS,
        enforce_eager=True,
    )
    return {
        name: {f"vLLM, LoRA of rank {RANK}": _mixed(engine, adapters, work)}
        for name, work in job["workloads"].items()
    }


def _adapter(config: Any, folder: Path, task: int) -> LoRARequest:
    """Write a random adapter in PEFT's format."""
    folder.mkdir()
    tensors = {}
    for layer in range(config.num_hidden_layers):
        for target in TARGETS:
            name = f"base_model.model.roberta.encoder.layer.{layer}.attention.self.{target}"
            tensors[f"{name}.lora_A.weight"] = torch.randn(RANK, config.hidden_size) / 100
            tensors[f"{name}.lora_B.weight"] = torch.randn(config.hidden_size, RANK) / 100
    save_file(tensors, folder / "adapter_model.safetensors")
    facts = {"peft_type": "LORA", "task_type": "SEQ_CLS", "r": RANK, "lora_alpha": RANK}
    facts |= {"target_modules": TARGETS, "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(facts), encoding="utf-8")
    return LoRARequest(str(task), task + 1, str(folder))


def _mixed(engine: LLM, adapters: dict[int, LoRARequest], work: dict[str, Any]) -> Run:
    """Run batches in the order of arrival, each text with the adapter of its task."""
    texts = list(zip(work["tokens"], work["uniform"], strict=True))
    batches = in_order(texts, work["batch"])

    def run() -> int:
        rows = 0
        for batch in batches:
            prompts = [{"prompt_token_ids": ids} for ids, _ in batch]
            chosen = [adapters[task] for _, task in batch]
            rows += len(engine.classify(prompts, lora_request=chosen, use_tqdm=False))
        return rows

    return run


if __name__ == "__main__":
    serve(load)
