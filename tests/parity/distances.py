"""A slow reference for encoders whose scores depend on distance: one text, explicit loops.

It uses float64 and only elementary tensor operations.

- DeBERTa: He et al. Log buckets, shared projections and the convolution are from the code of v2.
- MPNet: Song et al., with the buckets of T5 (Raffel et al.).
- Prefixes: Liu et al., P-tuning v2, `model/deberta.py` and `model/debertaV2.py`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from tests.parity.reference import Text

Past = tuple[Tensor, Tensor]
"""A prefix's keys and values, each `[L, H, P, D]`."""

Relative = Callable[[int, int, int], Tensor | float]
"""Maps head h, query i and key j to the term that is added to their scaled score."""


def hidden_states(model: Any, text: Text, past: Past | None = None) -> Tensor:
    """Run one text after a prefix's keys and values; gives `[S, hidden]`."""
    weights = _Weights.of(model)
    hidden = weights.normalized(_embedded(weights, text), "embeddings.LayerNorm")
    for layer in range(model.config.num_hidden_layers):
        mine = None if past is None else (past[0][layer].double(), past[1][layer].double())
        run = _mpnet_layer if model.config.model_type == "mpnet" else _deberta_layer
        after = run(weights, model.config, layer, hidden, mine)
        if layer == 0 and getattr(model.config, "conv_kernel_size", 0) > 0:
            after = _convolved(weights, model.config, hidden, after)
        hidden = after
    return hidden


@dataclass(frozen=True, slots=True)
class _Weights:
    state: dict[str, Tensor]
    epsilon: float

    @classmethod
    def of(cls, model: Any) -> Self:
        state = {name: tensor.double() for name, tensor in model.state_dict().items()}
        return cls(state, model.config.layer_norm_eps)

    def linear(self, values: Tensor, name: str) -> Tensor:
        return values @ self.state[f"{name}.weight"].T + self.state.get(f"{name}.bias", 0)

    def normalized(self, values: Tensor, name: str) -> Tensor:
        centered = values - values.mean(1, keepdim=True)
        deviation = torch.sqrt((centered**2).mean(1, keepdim=True) + self.epsilon)
        return centered / deviation * self.state[f"{name}.weight"] + self.state[f"{name}.bias"]


def _embedded(weights: _Weights, text: Text) -> Tensor:
    state = weights.state
    rows = []
    for index, (token, kind) in enumerate(zip(text.token_ids, text.token_type_ids, strict=True)):
        row = state["embeddings.word_embeddings.weight"][token]
        if "embeddings.position_embeddings.weight" in state:
            row = row + state["embeddings.position_embeddings.weight"][text.first_position + index]
        if "embeddings.token_type_embeddings.weight" in state:
            row = row + state["embeddings.token_type_embeddings.weight"][kind]
        rows.append(row)
    return torch.stack(rows)


def _deberta_layer(
    weights: _Weights, config: Any, layer: int, hidden: Tensor, past: Past | None
) -> Tensor:
    name = f"encoder.layer.{layer}"
    is_first_version = config.model_type == "deberta"
    project = _first_projections if is_first_version else _second_projections
    size = config.hidden_size // config.num_attention_heads
    table = weights.state.get("encoder.rel_embeddings.weight")
    if getattr(config, "norm_rel_ebd", "none") == "layer_norm" and table is not None:
        table = weights.normalized(table, "encoder.LayerNorm")
    kinds = config.pos_att_type or []
    root = math.sqrt(size * (1 + len(kinds)))
    queries, keys, values, distance_keys, distance_queries = project(
        weights, config, f"{name}.attention.self", hidden, table
    )

    def relative(head: int, i: int, j: int) -> Tensor | float:
        if table is None:
            return 0.0
        row = _row_of_distance(config, i - j, len(table) // 2)
        part = slice(head * size, (head + 1) * size)
        score: Tensor | float = 0.0
        if "c2p" in kinds:
            score = score + queries[i, part].dot(distance_keys[row, part])
        if "p2c" in kinds:
            score = score + keys[j, part].dot(distance_queries[row, part])
        return score / root

    attended = _attended(queries, keys, values, past, config.num_attention_heads, root, relative)
    attended = weights.linear(attended, f"{name}.attention.output.dense")
    between = weights.normalized(hidden + attended, f"{name}.attention.output.LayerNorm")
    return _fed_forward(weights, name, between)


def _first_projections(
    weights: _Weights, config: Any, name: str, hidden: Tensor, table: Tensor | None
) -> list[Any]:
    """Project as the first version does: each head's query, key and value rows lie together."""
    size = config.hidden_size // config.num_attention_heads
    rows = weights.state[f"{name}.in_proj.weight"].view(-1, size, config.hidden_size)
    queries, keys, values = (hidden @ rows[part::3].flatten(0, 1).T for part in range(3))
    queries = queries + weights.state[f"{name}.q_bias"]
    values = values + weights.state[f"{name}.v_bias"]
    names = {"c2p": f"{name}.pos_proj", "p2c": f"{name}.pos_q_proj"}
    return [queries, keys, values, *_of_distances(weights, config, names, table)]


def _second_projections(
    weights: _Weights, config: Any, name: str, hidden: Tensor, table: Tensor | None
) -> list[Any]:
    """Project as the second version does: distances may share the projections of tokens."""
    projected: list[Any] = [
        weights.linear(hidden, f"{name}.{part}_proj") for part in ("query", "key", "value")
    ]
    own = "" if getattr(config, "share_att_key", False) else "pos_"
    names = {"c2p": f"{name}.{own}key_proj", "p2c": f"{name}.{own}query_proj"}
    return [*projected, *_of_distances(weights, config, names, table)]


def _of_distances(
    weights: _Weights, config: Any, names: dict[str, str], table: Tensor | None
) -> list[Tensor | None]:
    """Give the keys and the queries of distances, where a configuration has them."""
    if table is None:
        return [None, None]
    kinds = config.pos_att_type or []
    return [
        weights.linear(table, names[kind]) if kind in kinds else None for kind in ("c2p", "p2c")
    ]


def _row_of_distance(config: Any, distance: int, span: int) -> int:
    num_buckets = getattr(config, "position_buckets", -1)
    if num_buckets > 0 and abs(distance) > num_buckets // 2:
        longest = config.max_relative_positions
        if longest < 1:
            longest = config.max_position_embeddings
        middle = num_buckets // 2
        share = math.log(abs(distance) / middle) / math.log((longest - 1) / middle)
        bucket = middle + math.ceil(share * (middle - 1))
        distance = bucket if distance > 0 else -bucket
    return min(max(distance + span, 0), 2 * span - 1)


def _mpnet_layer(
    weights: _Weights, config: Any, layer: int, hidden: Tensor, past: Past | None
) -> Tensor:
    name = f"encoder.layer.{layer}"
    queries, keys, values = (
        weights.linear(hidden, f"{name}.attention.attn.{part}") for part in "qkv"
    )
    table = weights.state["encoder.relative_attention_bias.weight"]

    def relative(head: int, i: int, j: int) -> Tensor:
        return table[_mpnet_bucket(j - i), head]

    heads = config.num_attention_heads
    root = math.sqrt(config.hidden_size // heads)
    attended = _attended(queries, keys, values, past, heads, root, relative)
    attended = weights.linear(attended, f"{name}.attention.attn.o")
    between = weights.normalized(hidden + attended, f"{name}.attention.LayerNorm")
    return _fed_forward(weights, name, between)


def _mpnet_bucket(distance: int) -> int:
    """Sort distances into 32: 16 each way, of which 8 hold one distance and 8 grow up to 128."""
    way = 16 if distance > 0 else 0
    far = abs(distance)
    if far < 8:
        return way + far
    return way + min(15, 8 + math.floor(math.log(far / 8) / math.log(128 / 8) * 8))


def _attended(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    past: Past | None,
    num_heads: int,
    root: float,
    relative: Relative,
) -> Tensor:
    size = queries.shape[1] // num_heads
    outputs = []
    for head in range(num_heads):
        part = slice(head * size, (head + 1) * size)
        rows = []
        for i, query in enumerate(queries[:, part]):
            scores = [
                query.dot(key) / root + relative(head, i, j) for j, key in enumerate(keys[:, part])
            ]
            seen = list(values[:, part])
            if past is not None:
                scores += [query.dot(key) / root for key in past[0][head]]
                seen += list(past[1][head])
            shares = torch.softmax(torch.stack(scores), 0)
            rows.append(torch.stack([s * v for s, v in zip(shares, seen, strict=True)]).sum(0))
        outputs.append(torch.stack(rows))
    return torch.cat(outputs, 1)


def _fed_forward(weights: _Weights, name: str, between: Tensor) -> Tensor:
    inner = _gelu(weights.linear(between, f"{name}.intermediate.dense"))
    outer = weights.linear(inner, f"{name}.output.dense")
    return weights.normalized(between + outer, f"{name}.output.LayerNorm")


def _convolved(weights: _Weights, config: Any, before: Tensor, after: Tensor) -> Tensor:
    kernel = weights.state["encoder.conv.conv.weight"]  # (hidden, hidden, taps)
    reach = config.conv_kernel_size // 2
    rows = []
    for index in range(len(before)):
        row = weights.state["encoder.conv.conv.bias"]
        for tap in range(config.conv_kernel_size):
            place = index + tap - reach
            if 0 <= place < len(before):
                row = row + kernel[:, :, tap] @ before[place]
        rows.append(row)
    convolved = torch.stack(rows)
    is_tanh = getattr(config, "conv_act", "tanh") == "tanh"
    active = torch.tanh(convolved) if is_tanh else _gelu(convolved)
    return weights.normalized(after + active, "encoder.conv.LayerNorm")


def _gelu(values: Tensor) -> Tensor:
    return values * 0.5 * (1 + torch.erf(values / math.sqrt(2)))
