"""A prefix the slow way, for any model that calls transformers' attention interface.

One text at a time: in every layer, head and query, scores with the prefix's keys and with the
text's own, one by one. Knows nothing of packed batches.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AutoModel

SLOW = "one_text_at_a_time"


def load_slow(folder: Any) -> Any:
    """Load a plain model whose attention takes the keyword argument `past`."""
    model = AutoModel.from_pretrained(folder, attn_implementation=SLOW, dtype=torch.float32)
    return model.eval()


def run_one(model: Any, inputs: dict[str, Tensor], past: Tensor) -> Tensor:
    """Run one text `[1, S]` after keys and values `[L, 2, P, H, D]`; gives `[S, hidden]`."""
    layers = iter(past)
    with torch.no_grad():
        hidden: Tensor = model(**inputs, past=layers).last_hidden_state[0]
    assert next(layers, None) is None
    return hidden


def attention_of_one_text(
    _module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _mask: Any,
    *,
    scaling: float,
    past: Iterator[Tensor],
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Answer the interface, `[1, H, S, D]` to `[1, S, H, D]`, with the next layer's prefix."""
    past_keys, past_values = next(past)  # (P, H, D) each
    num_heads, num_tokens = query.shape[1:3]
    shared_by = num_heads // key.shape[1]
    attended = torch.zeros(num_tokens, num_heads, query.shape[3])
    for head in range(num_heads):
        theirs = head // shared_by
        for place in range(num_tokens):
            first, last = 0, num_tokens
            if sliding_window is not None:
                first, last = max(0, place - sliding_window + 1), place + sliding_window
            keys = [*past_keys[:, theirs], *key[0, theirs, first:last]]
            values = [*past_values[:, theirs], *value[0, theirs, first:last]]
            scores = torch.stack([query[0, head, place].dot(k) for k in keys]) * scaling
            weights = torch.exp(scores - scores.max())
            attended[place, head] = (weights / weights.sum()) @ torch.stack(values)
    return attended[None], None


AttentionInterface.register(SLOW, attention_of_one_text)
