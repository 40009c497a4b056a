"""MPNet over a packed batch: all layers add a learned bias by the distance of tokens.

Prefix slots have no distance and get no bias.
"""

from typing import Any

from torch import Tensor

from prefixes.backbone.attention import PrefixedCall
from prefixes.backbone.inputs import ModelInputs


def first_position(_: Any) -> int:
    """Return the position of a text's first token: transformers fixes MPNet's padding at 1."""
    return 2


def run_mpnet(model: Any, inputs: ModelInputs, call: PrefixedCall) -> Tensor:
    """Run an `MPNetModel` and return the last hidden states `[T, hidden]`."""
    hidden: Tensor = model.embeddings(**inputs.named("position_ids"))[0]
    longest = max(group.longest for group in call.packed.groups)
    # Uses only the shape [1, S, ...] and the device of its argument; gives (1, H, S, S).
    biases: Tensor = model.encoder.compute_position_bias(hidden[None, :longest])

    def relative_scores(query: Tensor, _: Tensor) -> Tensor:
        num_tokens = query.shape[1]
        return biases[:, :, :num_tokens, :num_tokens]

    for layer in model.encoder.layer:
        attention = layer.attention.attn
        shape = (-1, attention.num_attention_heads, attention.attention_head_size)
        query, key, value = (
            project(hidden).view(shape) for project in (attention.q, attention.k, attention.v)
        )
        attended = call.attend(
            query, key, value, scaling=shape[-1] ** -0.5, relative_scores=relative_scores
        )
        attended = layer.attention.dropout(attention.o(attended.flatten(1)))
        between = layer.attention.LayerNorm(attended + hidden)
        hidden = layer.output(layer.intermediate(between), between)
    return hidden
