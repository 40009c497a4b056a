"""PrefixLearner: the trainable parameters, and their folding into a prefix."""

from dataclasses import dataclass
from typing import Final

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from prefixes import Prefix, PrefixSpec
from prefixes.backbone import Backbone, Head
from training.errors import PlanRejected
from training.examples import TaskData
from training.learning.random_numbers import generator_for
from training.learning.vector_rows import VectorRows
from training.settings.config import TrainConfig
from training.settings.defaults import max_length_of
from training.tasks import definition_of

_SHORTEST_TEXT: Final = 3
"""Minimum tokens of a text: one, and the special tokens at both ends."""


@dataclass(frozen=True, slots=True, eq=False)
class LearningHead(Head):
    """A head in training. Its pooled features are multiplied by `factors` `[n, hidden]`."""

    factors: Tensor | None = None

    def __call__(self, features: Tensor) -> Tensor:
        """Map pooled features `[n, hidden]` to logits `[n, labels]`."""
        if self.factors is not None:
            features = features * self.factors.to(features)
        return Head.__call__(self, features)


def describe(config: TrainConfig, data: TaskData, backbone: Backbone) -> PrefixSpec:
    """Describe the prefix that a training will make.

    Raises:
        ValidationError: if the task does not fit the backbone, for example a text length beyond
            its positions.
    """
    definition = definition_of(config.task_type)
    room = room_for_texts(config, backbone)
    return PrefixSpec(
        task_type=config.task_type,
        method=config.file_method,
        prefix_length=config.prefix_length,
        position_offset=config.offset,
        rank=config.rank,
        max_length=config.max_length or min(max_length_of(config.task_type), room),
        head=definition.head(config),
        input=data.template,
        special_tokens=config.special_tokens,
        backbone=backbone.fingerprint,
        description=config.description,
        **{"decisions": config.decisions, **definition.description(config, data)},
    )


def describe_fitting(config: TrainConfig, data: TaskData, backbone: Backbone) -> PrefixSpec:
    """Describe a prefix as `describe`.

    Raises:
        PlanRejected: if the task does not fit the backbone.
    """
    fingerprint = backbone.fingerprint
    if room_for_texts(config, backbone) < _SHORTEST_TEXT:
        name = "prefix_length" if config.position_offset is None else "position_offset"
        raise PlanRejected(
            f"{config.run_name} does not fit the backbone {fingerprint.name}: {name} "
            f"{getattr(config, name)} leaves no room for texts among its "
            f"{fingerprint.max_positions} positions"
        )
    try:
        return describe(config, data, backbone)
    except ValidationError as error:
        reasons = "; ".join(detail["msg"] for detail in error.errors())
        raise PlanRejected(
            f"{config.run_name} does not fit the backbone {fingerprint.name}: {reasons}"
        ) from error


def room_for_texts(config: TrainConfig, backbone: Backbone) -> int:
    """Return the number of positions left for texts, negative if the prefix takes too many."""
    taken = config.prefix_length if config.method == "prompt" else config.offset
    return backbone.fingerprint.max_positions - taken


class PrefixLearner(nn.Module):
    """A prefix in training: a table of keys and values, or an MLP that computes them, and a head.

    The table is P-tuning v2's `[P, L*2*H*D]`; with a projection it is `[P, hidden]` and goes
    through Linear, Tanh, Linear; of a shallow prompt it is the embeddings `[P, E]`; of a head alone
    it has no rows. Of vectors, its rows are their slots, which begin as 0, or with a rank as
    `VectorRows` says. Other weights begin as N(0, initializer_range) and biases as 0, the way
    transformers initializes missing weights, as in the original. `begin_as` adds values of real
    tokens to the table, and `load_state_dict` replaces all weights.
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
        if spec.method == "prompt":
            width = facts.embedding_size or hidden
        self.table = nn.Parameter(
            torch.empty(
                spec.prefix_length or spec.num_slots, width if projection_size is None else hidden
            )
        )
        self.rows = VectorRows.of(spec) if spec.rank else None
        self.projection = (
            nn.Identity()
            if projection_size is None
            else nn.Sequential(
                nn.Linear(hidden, projection_size), nn.Tanh(), nn.Linear(projection_size, width)
            )
        )
        self.dense = nn.Linear(hidden, hidden) if spec.head.activation is not None else None
        outputs = spec.num_outputs
        self.output = None if outputs is None else nn.Linear(hidden, outputs)
        self._initialize(initializer_range, generator_for(seed, "weights"))

    @torch.no_grad()
    def _initialize(self, spread: float, generator: torch.Generator) -> None:
        for parameter in self.parameters():
            is_vectors = parameter is self.table and self.spec.method == "vectors"
            if is_vectors and self.rows is not None:
                parameter.normal_(0, 1, generator=generator).mul_(self.rows.spreads)
            elif parameter.ndim == 1 or is_vectors:
                parameter.zero_()
            else:
                parameter.normal_(0, spread, generator=generator)

    @torch.no_grad()
    def begin_as(self, tokens: Tensor) -> None:
        """Add the values of P real tokens, `[P, width]`, to the noise of the table.

        With noise alone, all queries attend equally to the keys, and values are almost zero, so the
        prefix first takes attention away from the text. The noise stays, because two slots with the
        same token would otherwise always learn the same.
        """
        self.table.add_(tokens)

    def prefix_tensor(self) -> Tensor:
        """Return keys and values or vectors in the layout of the pool, `[L, 2, n, H, D]`, or the
        embeddings of a prompt, `[P, E]`.
        """
        facts = self.spec.backbone
        flat: Tensor = self.projection(self.table)
        if self.rows is not None:
            flat = flat * self.rows.factors.to(flat)
        if self.spec.method == "prompt":
            return flat
        split = flat.view(len(flat), facts.num_layers, 2, facts.num_heads, facts.head_size)
        return split.permute(1, 2, 0, 3, 4)  # (P, L, 2, H, D) -> (L, 2, P, H, D)

    def head(self, factors: Tensor | None = None) -> LearningHead:
        """Return the head for the packed forward pass, with gradients.

        `factors` are those of dropout, in the order of the texts of a pass.
        """
        return LearningHead(
            self.spec.head,
            *_parameters(self.output),
            *_parameters(self.dense),
            factors=factors,
        )

    def prefix_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the prefix."""
        return [self.table, *self.projection.parameters()]

    def head_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the head. An embedding may have none."""
        layers = [layer for layer in (self.dense, self.output) if layer is not None]
        return [parameter for layer in layers for parameter in layer.parameters()]

    @torch.no_grad()
    def fold(self, *, center: float = 0.0, spread: float = 1.0) -> Prefix:
        """Return the prefix as served: plain float32 tensors by name.

        `center` and `spread` rescale a regression, which was trained with mean 0 and deviation 1.
        """
        tensors = self._folded_prefix()
        if self.output is not None:
            tensors["head.output.weight"] = self.output.weight * spread
            tensors["head.output.bias"] = self.output.bias * spread + center
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

    def _folded_prefix(self) -> dict[str, Tensor]:
        if self.spec.method == "prompt":
            return {"prompt.embeddings": self.prefix_tensor()}
        if self.spec.method == "head":
            return {}
        if self.spec.method == "vectors":
            return self._folded_vectors()
        kv = self.prefix_tensor().transpose(2, 3)  # (L, 2, P, H, D) -> (L, 2, H, P, D)
        return {"prefix.keys": kv[:, 0], "prefix.values": kv[:, 1]}

    def _folded_vectors(self) -> dict[str, Tensor]:
        facts, rank = self.spec.backbone, self.spec.rank
        halves = self.prefix_tensor().reshape(facts.num_layers, 2, 2, 1 + rank, facts.hidden_size)
        first, second = halves.unbind(2)  # (L, 2, 1 + r, hidden)
        tensors = {"norms.scales": first[:, :, 0], "norms.shifts": second[:, :, 0]}
        if rank:
            tensors |= {"norms.down": first[:, :, 1:], "norms.up": second[:, :, 1:]}
        return tensors


def _parameters(layer: nn.Linear | None) -> tuple[Tensor | None, Tensor | None]:
    return (None, None) if layer is None else (layer.weight, layer.bias)
