"""The rows of a learner's table of vectors with a rank: where they begin, how fast they change."""

from dataclasses import dataclass
from typing import Final, Self

import torch
from torch import Tensor

from prefixes import PrefixSpec

_STEP: Final = 0.5
"""Steps of D and U as a share of those of scales and shifts. With equal steps, the learning rate
that is best for scales and shifts is too large for D and U."""


@dataclass(frozen=True, slots=True, eq=False)
class VectorRows:
    """Each row of the table fills one slot: a vector, or a part of one.

    Vectors are the rows times `factors` `[n, 1]`, and so are the steps of an optimizer such as
    Adam, whose steps in the table do not depend on the factors. The rows begin as normal values
    with the deviations `spreads` `[n, 1]`.
    """

    factors: Tensor
    spreads: Tensor

    @classmethod
    def of(cls, spec: PrefixSpec) -> Self:
        """Describe the rows of vectors with a rank.

        The rows of D begin as N(0, 1 / hidden), so that `D y` is as large as the hidden units of y.
        All else begins as 0, so that the first step runs the backbone as it is.
        """
        root = spec.backbone.hidden_size**0.5
        shape = (2, 1 + spec.rank, spec.num_slots // (2 * (1 + spec.rank)))
        factors, spreads = torch.ones(shape), torch.zeros(shape)
        factors[:, 1:] = _STEP
        factors[0, 1:] /= root
        spreads[0, 1:] = 1 / _STEP
        return cls(factors.view(-1, 1), spreads.view(-1, 1))
