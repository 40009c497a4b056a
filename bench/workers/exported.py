"""A fine-tuned model as both runtimes take it: token ids and a mask in, logits out."""

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification


class Logits(nn.Module):
    """A classifier without transformers' own kinds of inputs and outputs."""

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
    """Give token ids `[3, 17]` and their mask, one text padded, for the export to follow."""
    mask = torch.ones(3, 17, dtype=torch.int64)
    mask[1, 9:] = 0
    return torch.randint(1000, 2000, (3, 17)), mask
