"""transformers with PEFT prefix tuning: the usual loop over shuffled batches, padded."""

from functools import partial
from typing import Any

import torch
from peft import PrefixTuningConfig, get_peft_model
from protocol import Run, padded, serve
from transformers import AutoModelForSequenceClassification, get_linear_schedule_with_warmup


def load(job: dict[str, Any]) -> dict[str, dict[str, Run]]:
    torch.set_num_threads(job["threads"])
    torch.manual_seed(0)
    return {
        name: {"PEFT": partial(_Training(job), work["tokens"], work["labels"])}
        for name, work in job["workloads"].items()
    }


class _Training:
    """A model, its optimizer and its schedule; a call is one pass over the rows."""

    def __init__(self, job: dict[str, Any]) -> None:
        base = AutoModelForSequenceClassification.from_pretrained(
            job["model"], num_labels=job["num_labels"], ignore_mismatched_sizes=True
        )
        config = PrefixTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=job["prefix_length"])
        self.model: Any = get_peft_model(base, config).to(getattr(torch, job["dtype"])).train()
        self.trained = [each for each in self.model.parameters() if each.requires_grad]
        self.optimizer = torch.optim.AdamW(self.trained, lr=1e-2)
        self.schedule = get_linear_schedule_with_warmup(self.optimizer, 100, 10**6)
        self.batch = job["batch"]

    def __call__(self, tokens: list[list[int]], labels: list[int]) -> int:
        order = torch.randperm(len(tokens)).tolist()
        for start in range(0, len(order), self.batch):
            rows = order[start : start + self.batch]
            texts = [tokens[row] for row in rows]
            ids, mask = (torch.tensor(x) for x in padded(texts, self.model.config.pad_token_id))
            truth = torch.tensor([labels[row] for row in rows])
            self.model(input_ids=ids, attention_mask=mask, labels=truth).loss.backward()
            torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
            self.optimizer.step()
            self.schedule.step()
            self.optimizer.zero_grad()
        return len(order)


if __name__ == "__main__":
    serve(load)
