"""Flat prefixes: one row of numbers per position, the layout of P-tuning v2, PEFT and AdapterHub.

The number for position p, layer l, kv (0 key, 1 value), head h and element d is in row p at column
`((2 * l + kv) * H + h) * D + d`. Source: P-tuning v2, `get_prompt`; PEFT, `get_prompt`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from prefixes.fingerprint import BackboneFingerprint
from prefixes.interop.errors import ConversionRefused
from prefixes.spec import MAX_PREFIX_LENGTH


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """The MLP that some prefixes are trained through: linear, tanh, linear."""

    inner_weight: Tensor
    inner_bias: Tensor
    outer_weight: Tensor
    outer_bias: Tensor

    def fold(self, embeddings: Tensor) -> Tensor:
        """Compute the flat prefix `[P, L * 2 * H * D]` of embeddings `[P, E]`.

        The computation is in float32, as in training, so that it gives the same numbers.

        Raises:
            ConversionRefused: when the shapes of the layers do not match.
        """
        inner = self.inner_weight.shape[0] if self.inner_weight.dim() else 0
        outer = self.outer_weight.shape[0] if self.outer_weight.dim() else 0
        fits = (
            embeddings.dim() == 2
            and self.inner_weight.shape == (inner, embeddings.shape[1])
            and self.inner_bias.shape == (inner,)
            and self.outer_weight.shape == (outer, inner)
            and self.outer_bias.shape == (outer,)
        )
        if not fits:
            shapes = [tuple(x.shape) for x in (embeddings, self.inner_weight, self.outer_weight)]
            raise ConversionRefused(
                f"The shapes of the projection do not match: found embeddings {shapes[0]}, then "
                f"layers {shapes[1]} and {shapes[2]}, with their biases"
            )
        hidden = torch.tanh(functional.linear(embeddings, self.inner_weight, self.inner_bias))
        return functional.linear(hidden, self.outer_weight, self.outer_bias)


def check_length(embeddings: Tensor, name: str) -> int:
    """Count the positions of a prefix, `[P, ...]`.

    Raises:
        ConversionRefused: when a prefix has no positions or too many.
    """
    if embeddings.dim() != 2 or not 1 <= len(embeddings) <= MAX_PREFIX_LENGTH:
        raise ConversionRefused(
            f"{name}: expected 1 to {MAX_PREFIX_LENGTH} rows of numbers, found shape "
            f"{tuple(embeddings.shape)}"
        )
    return len(embeddings)


def keys_and_values(flat: Tensor, backbone: BackboneFingerprint) -> dict[str, Tensor]:
    """Convert a flat prefix `[P, L * 2 * H * D]` to keys and values `[L, H, P, D]`.

    Raises:
        ConversionRefused: when the length of the rows does not match the backbone.
    """
    layout = (backbone.num_layers, 2, backbone.num_heads, backbone.head_size)
    width = layout[0] * layout[1] * layout[2] * layout[3]
    length = check_length(flat, "The prefix")
    if flat.shape[1] != width:
        raise ConversionRefused(
            f"The prefix does not fit {backbone.name}: expected {width} numbers for each of its "
            f"{length} positions ({layout[0]} layers, keys and values, {layout[2]} heads of "
            f"{layout[3]}), found {flat.shape[1]}"
        )
    stacked = flat.reshape(length, *layout).permute(1, 2, 3, 0, 4)  # (L, 2, H, P, D)
    return {"prefix.keys": stacked[:, 0], "prefix.values": stacked[:, 1]}


def flat_of(keys: Tensor, values: Tensor) -> Tensor:
    """Convert keys and values `[L, H, P, D]` to a flat prefix `[P, L * 2 * H * D]`."""
    stacked = torch.stack((keys, values), dim=1)  # (L, 2, H, P, D)
    return stacked.permute(3, 0, 1, 2, 4).flatten(1).contiguous()
