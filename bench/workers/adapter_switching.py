"""transformers with PEFT prefix tuning, padded, switching the adapter from task to task."""

from typing import Any

import torch
from peft import PrefixTuningConfig, get_peft_model
from protocol import Run, padded, serve
from transformers import AutoModelForSequenceClassification


def load(job: dict[str, Any]) -> dict[str, dict[str, Run]]:
    torch.set_num_threads(job["threads"])
    base = AutoModelForSequenceClassification.from_pretrained(job["model"])
    config = PrefixTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=job["prefix_length"])
    # Only the requested tasks: others would cost memory, but no time.
    tasks = sorted({task for work in job["workloads"].values() for task in work["uniform"]})
    model: Any = get_peft_model(base, config, adapter_name=str(tasks[0]))
    for task in tasks[1:]:
        model.add_adapter(str(task), config)
    model.to(getattr(torch, job["dtype"])).eval()
    return {
        name: {"PEFT, set_adapter": _switching(model, work, work["batch"])}
        for name, work in job["workloads"].items()
    }


def _switching(model: Any, work: dict[str, Any], batch: int) -> Run:
    """Group each batch by task, and run each group with its adapter."""
    tokens, tasks = work["tokens"], work["uniform"]
    pad = model.config.pad_token_id

    @torch.inference_mode()
    def run() -> int:
        rows = 0
        for start in range(0, len(tokens), batch):
            groups: dict[int, list[list[int]]] = {}
            for place in range(start, min(start + batch, len(tokens))):
                groups.setdefault(tasks[place], []).append(tokens[place])
            for task, members in groups.items():
                model.set_adapter(str(task))
                ids, mask = (torch.tensor(values) for values in padded(members, pad))
                rows += len(model(input_ids=ids, attention_mask=mask).logits)
        return rows

    return run


if __name__ == "__main__":
    serve(load)
