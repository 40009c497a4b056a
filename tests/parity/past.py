"""A prefix the way plain transformers takes it: `past_key_values` and a padded batch."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache


def run_with_past(
    model: Any,
    texts: Sequence[tuple[Sequence[int], Sequence[int]]],
    keys: Tensor,
    values: Tensor,
    *,
    first_position: int,
) -> list[Tensor]:
    """Run texts of token ids and types after keys and values `[L, H, P, D]`.

    Returns:
        Each text's hidden states `[S, hidden]`, padding cut off.
    """
    num_rows, width = len(texts), max(len(ids) for ids, _ in texts)
    prefix_length = keys.shape[2]
    token_ids = torch.zeros(num_rows, width, dtype=torch.int64)
    types = torch.zeros(num_rows, width, dtype=torch.int64)
    mask = torch.zeros(num_rows, prefix_length + width, dtype=torch.int64)
    for number, (ids, kinds) in enumerate(texts):
        token_ids[number, : len(ids)] = torch.tensor(ids)
        types[number, : len(ids)] = torch.tensor(kinds)
        mask[number, : prefix_length + len(ids)] = 1
    cache = DynamicCache()  # a fresh one: the forward pass appends to it
    for layer, (key, value) in enumerate(zip(keys, values, strict=True)):
        shape = (num_rows, *key.shape)
        cache.update(key.expand(shape), value.expand(shape), layer)
    with torch.no_grad():
        output = model(
            input_ids=token_ids,
            token_type_ids=types,
            attention_mask=mask,
            position_ids=torch.arange(first_position, first_position + width)[None],
            past_key_values=cache,
        )
    hidden: Tensor = output.last_hidden_state
    return [rows[: len(ids)] for rows, (ids, _) in zip(hidden, texts, strict=True)]
