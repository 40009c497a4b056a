"""The specification of the forward pass: one text, explicit loops, every step written out.

Slow on purpose, in float64, with nothing but elementary tensor operations. A text's queries see
its prefix's keys and values, joined in front of its own, in every layer and every head. Source of
the encoder: Devlin et al., BERT; of the prefixes: Liu et al., P-tuning v2.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from prefixes.backbone import Backbone, Head
from prefixes.spec import Pooling

State = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Text:
    """One text's tokens, and the position of the first of them."""

    token_ids: Sequence[int]
    token_type_ids: Sequence[int]
    first_position: int


def hidden_states(
    backbone: Backbone, text: Text, prefix: tuple[Tensor, Tensor] | None = None
) -> Tensor:
    """Run one text after a prefix's keys and values, each `[L, H, P, D]`; gives `[S, hidden]`."""
    config = backbone.model.config
    state = {name: tensor.double() for name, tensor in backbone.model.state_dict().items()}
    epsilon = config.layer_norm_eps
    rows = []
    for index, (token, kind) in enumerate(zip(text.token_ids, text.token_type_ids, strict=True)):
        rows.append(
            state["embeddings.word_embeddings.weight"][token]
            + state["embeddings.position_embeddings.weight"][text.first_position + index]
            + state["embeddings.token_type_embeddings.weight"][kind]
        )
    hidden = _normalized(torch.stack(rows), state, "embeddings.LayerNorm", epsilon)
    for layer in range(config.num_hidden_layers):
        name = f"encoder.layer.{layer}"
        past = None if prefix is None else (prefix[0][layer], prefix[1][layer])
        attended = _attention(hidden, state, f"{name}.attention", config.num_attention_heads, past)
        hidden = _normalized(
            hidden + attended, state, f"{name}.attention.output.LayerNorm", epsilon
        )
        inner = _gelu(_linear(hidden, state, f"{name}.intermediate.dense"))
        outer = _linear(inner, state, f"{name}.output.dense")
        hidden = _normalized(hidden + outer, state, f"{name}.output.LayerNorm", epsilon)
    return hidden


def logits(backbone: Backbone, head: Head, hidden: Tensor) -> Tensor:
    """Put one text's hidden states `[S, hidden]` through a head; gives `[labels]`."""
    features = _pooled(backbone, head.spec.pooling, hidden)
    if head.dense_weight is not None and head.dense_bias is not None:
        dense = head.dense_weight.double() @ features + head.dense_bias.double()
        match head.spec.activation:
            case "tanh":
                features = torch.tanh(dense)
            case "gelu":
                features = _gelu(dense)
            case _:
                features = dense.clamp(min=0)
    assert head.output_weight is not None
    assert head.output_bias is not None
    return head.output_weight.double() @ features + head.output_bias.double()


def _pooled(backbone: Backbone, pooling: Pooling, hidden: Tensor) -> Tensor:
    if pooling == "mean":
        total = torch.zeros_like(hidden[0])
        for row in hidden:
            total = total + row
        return total / len(hidden)
    if pooling == "first_token":
        return hidden[0]
    state = {name: tensor.double() for name, tensor in backbone.model.state_dict().items()}
    return torch.tanh(_linear(hidden[:1], state, "pooler.dense")[0])


def _attention(
    hidden: Tensor, state: State, name: str, num_heads: int, past: tuple[Tensor, Tensor] | None
) -> Tensor:
    size = hidden.shape[1] // num_heads
    queries = _linear(hidden, state, f"{name}.self.query")
    keys = _linear(hidden, state, f"{name}.self.key")
    values = _linear(hidden, state, f"{name}.self.value")
    outputs = []
    for head in range(num_heads):
        part = slice(head * size, (head + 1) * size)
        q, k, v = queries[:, part], keys[:, part], values[:, part]  # (S, D)
        if past is not None:
            k = torch.cat((past[0][head].double(), k))  # (P + S, D)
            v = torch.cat((past[1][head].double(), v))
        rows = []
        for query in q:
            scores = torch.stack([query.dot(key) for key in k]) / math.sqrt(size)
            weights = torch.exp(scores - scores.max())
            rows.append((weights / weights.sum()) @ v)
        outputs.append(torch.stack(rows))
    return _linear(torch.cat(outputs, 1), state, f"{name}.output.dense")


def _linear(values: Tensor, state: State, name: str) -> Tensor:
    return values @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def _normalized(values: Tensor, state: State, name: str, epsilon: float) -> Tensor:
    centered = values - values.mean(1, keepdim=True)
    variance = (centered**2).mean(1, keepdim=True)
    return (
        centered / torch.sqrt(variance + epsilon) * state[f"{name}.weight"] + state[f"{name}.bias"]
    )


def _gelu(values: Tensor) -> Tensor:
    return values * 0.5 * (1 + torch.erf(values / math.sqrt(2)))
