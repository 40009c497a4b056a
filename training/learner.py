"""PrefixLearner: the only trainable parameters, and their folding into a prefix that is served."""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from prefixes import HeadSpec, Prefix, PrefixSpec
from prefixes.backbone import Backbone, Head
from training.config import TrainConfig
from training.data import TaskData
from training.noise import drop, generator_for

DEFAULT_MAX_LENGTH: Final = 256


@dataclass(frozen=True, slots=True, eq=False)
class LearningHead(Head):
    """A head in training: drops pooled features at random, from a generator of its own.

    Its own, so that a learner's numbers are the same whoever shares its batch.
    """

    dropout: float = 0.0
    generator: torch.Generator | None = None

    def __call__(self, features: Tensor) -> Tensor:
        """Map pooled features `[n, hidden]` to logits `[n, labels]`."""
        return Head.__call__(self, drop(features, self.dropout, self.generator))


def describe(config: TrainConfig, data: TaskData, backbone: Backbone) -> PrefixSpec:
    """Describe the prefix that a training will make.

    Raises:
        ValueError: pydantic's, when the task does not fit the backbone, as a text length for
            which it has no positions.
    """
    room = backbone.fingerprint.max_positions - config.offset
    return PrefixSpec(
        problem_type=config.problem_type,
        labels=data.labels,
        prefix_length=config.prefix_length,
        position_offset=config.offset,
        max_length=config.max_length or min(DEFAULT_MAX_LENGTH, room),
        head=HeadSpec(pooling=config.pooling, activation=config.head_activation),
        input=data.template,
        backbone=backbone.fingerprint,
        description=config.description,
    )


class PrefixLearner(nn.Module):
    """A prefix in training: a table of keys and values, or an MLP that makes them; and a head.

    The table is P-tuning v2's `[P, L*2*H*D]`; with a projection it is `[P, hidden]` and goes
    through Linear, Tanh, Linear. Weights begin as N(0, initializer_range) and biases as 0, as
    the original's did: transformers initialises so whatever a checkpoint lacks. `begin_as` puts
    real activations in the place of a table's noise.
    """

    def __init__(
        self,
        spec: PrefixSpec,
        *,
        initializer_range: float,
        projection_size: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.spec = spec
        facts = spec.backbone
        hidden = facts.hidden_size
        width = facts.num_layers * 2 * facts.num_heads * facts.head_size
        self.table = nn.Parameter(
            torch.empty(spec.prefix_length, width if projection_size is None else hidden)
        )
        self.projection = (
            nn.Identity()
            if projection_size is None
            else nn.Sequential(
                nn.Linear(hidden, projection_size), nn.Tanh(), nn.Linear(projection_size, width)
            )
        )
        self.dense = nn.Linear(hidden, hidden) if spec.head.activation is not None else None
        self.output = nn.Linear(hidden, spec.num_labels)
        self._initialise(initializer_range, generator_for(seed, "weights"))

    @torch.no_grad()
    def _initialise(self, spread: float, generator: torch.Generator) -> None:
        for parameter in self.parameters():
            if parameter.ndim == 1:
                parameter.zero_()
            else:
                parameter.normal_(0, spread, generator=generator)

    @torch.no_grad()
    def begin_as(self, activations: Tensor) -> None:
        """Begin with the keys and values of P real tokens, `[L, 2, P, H, D]`.

        A prefix of small noise has keys that every query finds alike, and values of next to
        nothing: it takes attention away until it has learnt not to. The noise stays on top, so
        that a token drawn twice does not make two slots that learn alike for ever.
        """
        flat = activations.permute(2, 0, 1, 3, 4)  # (L, 2, P, H, D) -> (P, L, 2, H, D)
        self.table.add_(flat.reshape(self.table.shape))

    def kv(self) -> Tensor:
        """Give the keys and values in the pool's layout, `[L, 2, P, H, D]`."""
        facts = self.spec.backbone
        flat: Tensor = self.projection(self.table)
        split = flat.view(-1, facts.num_layers, 2, facts.num_heads, facts.head_size)
        return split.permute(1, 2, 0, 3, 4)  # (P, L, 2, H, D) -> (L, 2, P, H, D)

    def head(
        self, dtype: torch.dtype, *, dropout: float, generator: torch.Generator
    ) -> LearningHead:
        """Give the head as the packed forward pass takes it; gradients flow back to it."""
        dense = self.dense
        return LearningHead(
            self.spec.head,
            self.output.weight.to(dtype),
            self.output.bias.to(dtype),
            None if dense is None else dense.weight.to(dtype),
            None if dense is None else dense.bias.to(dtype),
            dropout=dropout,
            generator=generator,
        )

    def prefix_parameters(self) -> list[nn.Parameter]:
        """List the parameters that make the keys and values."""
        return [self.table, *self.projection.parameters()]

    def head_parameters(self) -> list[nn.Parameter]:
        """List the parameters of the head."""
        return [*([] if self.dense is None else self.dense.parameters()), *self.output.parameters()]

    @torch.no_grad()
    def fold(self, *, centre: float = 0.0, spread: float = 1.0) -> Prefix:
        """Turn the training form into the served one: plain keys, values and head, in float32.

        `centre` and `spread` put the targets of a regression, learnt with mean 0 and deviation
        1, back on their own scale.
        """
        kv = self.kv().transpose(2, 3)  # (L, 2, P, H, D) -> (L, 2, H, P, D)
        tensors = {
            "prefix.keys": kv[:, 0],
            "prefix.values": kv[:, 1],
            "head.output.weight": self.output.weight * spread,
            "head.output.bias": self.output.bias * spread + centre,
        }
        if self.dense is not None:
            tensors["head.dense.weight"] = self.dense.weight
            tensors["head.dense.bias"] = self.dense.bias
        return Prefix(
            self.spec,
            {
                name: tensor.detach().to("cpu", torch.float32, copy=True).numpy()
                for name, tensor in tensors.items()
            },
        )
