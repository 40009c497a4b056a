"""DeBERTa's disentangled attention over a packed batch, for v1, v2 and v3.

Content and distance have separate keys and queries (He et al., DeBERTa):
score = (q_i k_j + q_i pk_ij + k_j pq_ij) / sqrt(D (1 + terms)). Prefix slots have no distance, so
their score is the first term over the same root (P-tuning v2, `model/deberta.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Tensor
from transformers.models.deberta_v2.modeling_deberta_v2 import make_log_bucket_position

from prefixes.backbone.attention import PrefixedCall
from prefixes.backbone.group_attention import RelativeScores
from prefixes.backbone.inputs import ModelInputs
from prefixes.backbone.packing import PackedBatch
from prefixes.errors import UnsupportedBackbone


def check_deberta(config: Any) -> None:
    """Reject settings that this module does not support, or that transformers computes wrongly.

    Raises:
        UnsupportedBackbone: when a field of config.json has such a value.
    """
    if getattr(config, "talking_head", False):
        raise _unsupported(config, "talking_head", "false", found=True)
    width = getattr(config, "embedding_size", config.hidden_size)
    if width != config.hidden_size:
        raise _unsupported(config, "embedding_size", f"hidden_size {config.hidden_size}", width)


def check_deberta_v2(config: Any) -> None:
    """Check as `check_deberta`, and reject position-to-position scores, which v3 does not use."""
    check_deberta(config)
    if unknown := set(config.pos_att_type or ()) - {"c2p", "p2c"}:
        raise _unsupported(config, "pos_att_type", "c2p and p2c only", ", ".join(sorted(unknown)))
    size = config.hidden_size // config.num_attention_heads
    found = getattr(config, "attention_head_size", size)
    if found != size:
        raise _unsupported(config, "attention_head_size", f"hidden_size / heads, {size}", found)


def _unsupported(config: Any, name: str, expected: str, found: object) -> UnsupportedBackbone:
    return UnsupportedBackbone(
        f"The backbone {config.model_type!r} has an unsupported setting: expected {name} in "
        f"config.json to be {expected}, found {found}"
    )


def run_deberta(model: Any, inputs: ModelInputs, call: PrefixedCall) -> Tensor:
    """Run a `DebertaModel` and return the last hidden states `[T, hidden]`."""
    return _run(model, inputs, call, _project, 1 + len(model.config.pos_att_type or ()))


def run_deberta_v2(model: Any, inputs: ModelInputs, call: PrefixedCall) -> Tensor:
    """Run a `DebertaV2Model` (v2 or v3) and return the last hidden states `[T, hidden]`."""
    terms = {"c2p", "p2c"} & set(model.config.pos_att_type or ())
    return _run(model, inputs, call, _project_v2, 1 + len(terms))


@dataclass(frozen=True, slots=True)
class _TextDistances:
    """The distances within a text of S tokens.

    `rows` are the rows of their embeddings; `places` `[S, S]` index the row of i - j in these.
    """

    rows: slice
    places: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class _Distances:
    """The embeddings `[R, hidden]` of the distances between tokens in the texts of a batch.

    `row_of` is the row of each distance, from -(S - 1) to S - 1 in the longest text.
    """

    embeddings: Tensor
    row_of: list[int]
    _near: dict[int, _TextDistances] = field(default_factory=dict)

    @classmethod
    def of(cls, encoder: Any, longest: int) -> Self | None:
        """Select the embeddings for texts of up to `longest` tokens; None if the model has none."""
        embeddings = encoder.get_rel_embedding()
        if embeddings is None:
            return None
        distances = torch.arange(1 - longest, longest)
        num_buckets = getattr(encoder, "position_buckets", -1)
        if num_buckets > 0:
            distances = make_log_bucket_position(
                distances, num_buckets, encoder.max_relative_positions
            ).long()
        span = len(embeddings) // 2
        rows: list[int] = (distances + span).clamp(0, 2 * span - 1).tolist()
        first, last = rows[0], rows[-1]
        return cls(embeddings[first : last + 1], [row - first for row in rows])

    def within(self, num_tokens: int) -> _TextDistances:
        """Return the distances within a text, cached because every layer needs them."""
        if num_tokens not in self._near:
            center = len(self.row_of) // 2
            needed = self.row_of[center - num_tokens + 1 : center + num_tokens]
            rows = torch.tensor(needed, device=self.embeddings.device) - needed[0]
            numbers = torch.arange(num_tokens, device=rows.device)
            places = rows[numbers[:, None] - numbers + num_tokens - 1]
            self._near[num_tokens] = _TextDistances(slice(needed[0], needed[-1] + 1), places)
        return self._near[num_tokens]


@dataclass(frozen=True, slots=True, eq=False)
class _Projections:
    """A layer's queries, keys and values of tokens `[T, H, D]`, and of distances `[R, H, D]`.

    `distance_key` and `distance_query` are None if the model does not use that term.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    distance_key: Tensor | None = None
    distance_query: Tensor | None = None


_Project = Callable[[Any, Tensor, _Distances | None], _Projections]


def _run(
    model: Any, inputs: ModelInputs, call: PrefixedCall, project: _Project, num_terms: int
) -> Tensor:
    hidden: Tensor = model.embeddings(**inputs.named("token_type_ids", "position_ids"))[0]
    longest = max(group.longest for group in call.packed.groups)
    distances = _Distances.of(model.encoder, longest)
    conv = getattr(model.encoder, "conv", None)
    for number, layer in enumerate(model.encoder.layer):
        before = hidden
        projected = project(layer.attention.self, hidden, distances)
        scaling = (projected.query.shape[-1] * num_terms) ** -0.5
        scores = None if distances is None else _relative_scores(projected, distances, scaling)
        attended = call.attend(
            projected.query,
            projected.key,
            projected.value,
            scaling=scaling,
            relative_scores=scores,
        )
        between = layer.attention.output(attended.flatten(1), hidden)
        hidden = layer.output(layer.intermediate(between), between)
        if number == 0 and conv is not None:
            hidden = _convolved(conv, before, hidden, call.packed)
    return hidden


def _project(attention: Any, hidden: Tensor, distances: _Distances | None) -> _Projections:
    num_heads = attention.num_attention_heads
    fused = _by_head(attention.in_proj(hidden), num_heads)  # (T, H, 3 * D)
    query, key, value = fused.chunk(3, dim=-1)
    query = query + _by_head(attention.q_bias, num_heads)
    value = value + _by_head(attention.v_bias, num_heads)
    distance_key = distance_query = None
    if distances is not None and "c2p" in attention.pos_att_type:
        distance_key = _by_head(attention.pos_proj(distances.embeddings), num_heads)
    if distances is not None and "p2c" in attention.pos_att_type:
        distance_query = _by_head(attention.pos_q_proj(distances.embeddings), num_heads)
    return _Projections(query, key, value, distance_key, distance_query)


def _project_v2(attention: Any, hidden: Tensor, distances: _Distances | None) -> _Projections:
    num_heads = attention.num_attention_heads
    projections = (attention.query_proj, attention.key_proj, attention.value_proj)
    query, key, value = (_by_head(project(hidden), num_heads) for project in projections)
    distance_key = distance_query = None
    shared = attention.share_att_key
    if distances is not None and "c2p" in attention.pos_att_type:
        project = attention.key_proj if shared else attention.pos_key_proj
        distance_key = _by_head(project(distances.embeddings), num_heads)
    if distances is not None and "p2c" in attention.pos_att_type:
        project = attention.query_proj if shared else attention.pos_query_proj
        distance_query = _by_head(project(distances.embeddings), num_heads)
    return _Projections(query, key, value, distance_key, distance_query)


def _by_head(values: Tensor, num_heads: int) -> Tensor:
    return values.view(*values.shape[:-1], num_heads, -1)


def _relative_scores(
    projected: _Projections, distances: _Distances, scaling: float
) -> RelativeScores | None:
    key, query = projected.distance_key, projected.distance_query
    if key is None and query is None:
        return None

    def scores(q: Tensor, k: Tensor) -> Tensor:
        near = distances.within(q.shape[1])
        total = q.new_zeros(())
        if key is not None:
            total = total + _scores_at(q, key[near.rows], near.places)
        if query is not None:
            # Key j is scored with the distance i - j of each query i.
            total = total + _scores_at(k, query[near.rows], near.places.T).transpose(-1, -2)
        return total * scaling

    return scores


def _scores_at(tokens: Tensor, distances: Tensor, places: Tensor) -> Tensor:
    """Score tokens `[n, S, H, D]` with distances `[R, H, D]` at `places` `[S, S]`."""
    all_scores = torch.einsum("nshd,rhd->nhsr", tokens, distances.to(tokens.dtype))
    return all_scores.gather(-1, places.expand(*all_scores.shape[:3], -1))


def _convolved(conv: Any, before: Tensor, after: Tensor, packed: PackedBatch) -> Tensor:
    """Add a convolution of a layer's input to its output `[T, hidden]`, within each text.

    The texts are joined with zeros between them, as many as the reach of the kernel.
    """
    reach = conv.conv.padding[0]
    owner = torch.repeat_interleave(packed.cu_tokens.diff(), output_size=packed.num_tokens)
    spread = torch.arange(packed.num_tokens, device=before.device) + reach * owner
    places = packed.in_layout_order(spread)
    width = packed.num_tokens + reach * packed.num_rows
    spaced = [
        x.new_zeros(1, width, x.shape[-1]).index_copy(1, places, x[None]) for x in (before, after)
    ]
    is_token = torch.zeros(1, width, dtype=torch.long, device=before.device).index_fill(
        1, places, 1
    )
    convolved: Tensor = conv(*spaced, is_token)
    return convolved[0, places]
