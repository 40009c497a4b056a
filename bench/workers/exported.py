"""A fine-tuned model for both runtimes: token ids and a mask to logits."""

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification


class Logits(nn.Module):
    """A classifier with plain tensors as inputs and outputs."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.model = AutoModelForSequenceClassification.from_pretrained(folder).eval()

    @property
    def pad(self) -> int:
        return int(self.model.config.pad_token_id)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        logits: Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits


def example() -> tuple[Tensor, Tensor]:
    """Return token ids `[3, 17]` and their mask, with one padded text, to trace the export."""
    mask = torch.ones(3, 17, dtype=torch.int64)
    mask[1, 9:] = 0
    return torch.randint(1000, 2000, (3, 17)), mask
