"""AdapterHub's `adapters`: prefix tuning of many tasks in one padded batch, by BatchSplit."""

from typing import Any

import adapters
import torch
from adapters.composition import BatchSplit
from protocol import Run, padded, serve
from torch import nn
from transformers import AutoModel


def load(job: dict[str, Any]) -> dict[str, dict[str, Run]]:
    torch.set_num_threads(job["threads"])
    model = AutoModel.from_pretrained(job["model"])
    adapters.init(model)
    # Flat, without the layers of training, as a trained prefix is served.
    config = adapters.PrefixTuningConfig(flat=True, prefix_length=job["prefix_length"])
    tasks = sorted({task for work in job["workloads"].values() for task in work["uniform"]})
    for task in tasks:
        model.add_adapter(str(task), config)
    # The library runs the heads of a split batch one by one; these plain layers do the same.
    heads = {task: nn.Linear(model.config.hidden_size, job["num_labels"]) for task in tasks}
    dtype = getattr(torch, job["dtype"])
    model.to(dtype).eval()
    for head in heads.values():
        head.to(dtype)
    return {
        name: {"AdapterHub, BatchSplit": _split(model, heads, work, work["batch"])}
        for name, work in job["workloads"].items()
    }


def _split(model: Any, heads: dict[int, nn.Module], work: dict[str, Any], batch: int) -> Run:
    """Sort each batch by task, as BatchSplit requires, and run it."""
    tokens, tasks = work["tokens"], work["uniform"]
    pad = model.config.pad_token_id

    @torch.inference_mode()
    def run() -> int:
        rows = 0
        for start in range(0, len(tokens), batch):
            places = range(start, min(start + batch, len(tokens)))
            groups: dict[int, list[list[int]]] = {}
            for place in sorted(places, key=lambda place: tasks[place]):
                groups.setdefault(tasks[place], []).append(tokens[place])
            sizes = [len(members) for members in groups.values()]
            model.set_active_adapters(BatchSplit(*map(str, groups), batch_sizes=sizes))
            members = [ids for group in groups.values() for ids in group]
            ids, mask = (torch.tensor(values) for values in padded(members, pad))
            hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0]
            parts = zip(groups, hidden.split(sizes), strict=True)
            rows += sum(len(heads[task](features)) for task, features in parts)
        return rows

    return run


if __name__ == "__main__":
    serve(load)
