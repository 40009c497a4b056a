"""PrefixPool: the keys, values and prompts of all runs of a step, in one pool."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Self

import torch
from torch import Tensor

from prefixes.backbone import Backbone
from training.learning.random_numbers import drop
from training.learning.run import Run


@dataclass(frozen=True, slots=True, eq=False)
class PrefixPool:
    """The prefixes and prompts of a step, detached from the parameters that made them.

    So the passes of the step add up their gradients in `pool` `[L, 2, C, H, D]` and in the
    `prompts` `[P, E]`, and the parameters behind them are walked only once. `slots` are those of
    each run in the pool.
    """

    made: list[Tensor]
    pool: Tensor
    slots: list[range]
    prompts: list[Tensor | None]

    @classmethod
    def of(cls, runs: Sequence[Run], backbone: Backbone) -> Self:
        made = [
            drop(
                run.learner.prefix_tensor(),
                run.config.prefix_dropout,
                run.generator("prefix dropout"),
            )
            for run in runs
        ]
        are_pooled = [run.spec.num_slots > 0 for run in runs]
        # Always float32, because they sum the gradients of all rows.
        leaves = [values.detach() for values in made]
        tables = [leaf for leaf, is_pooled in zip(leaves, are_pooled, strict=True) if is_pooled]
        pool = torch.cat(tables, dim=2) if tables else backbone.empty_pool(1)
        prompts = [
            leaf.requires_grad_() if run.spec.method == "prompt" else None
            for leaf, run in zip(leaves, runs, strict=True)
        ]
        ends = list(accumulate((run.spec.num_slots for run in runs), initial=0))
        slots = [range(start, end) for start, end in pairwise(ends)]
        # Without a prefix, neither the pool nor any layer needs gradients.
        return cls(made, pool.requires_grad_(bool(tables)), slots, prompts)

    @property
    def leaves(self) -> list[Tensor]:
        """The tensors whose gradients the passes compute."""
        leaves = [self.pool, *(prompt for prompt in self.prompts if prompt is not None)]
        return [leaf for leaf in leaves if leaf.requires_grad]

    def backpropagate(self) -> None:
        """Propagate the summed gradients to the parameters."""
        steered, gradients = [], []
        for values, slots, prompt in zip(self.made, self.slots, self.prompts, strict=True):
            if prompt is not None:
                gradient = gradient_of(prompt)
            elif slots:
                gradient = gradient_of(self.pool)[:, :, slots.start : slots.stop]
            else:
                continue  # a head alone
            steered.append(values)
            gradients.append(gradient.to(values.dtype))
        torch.autograd.backward(steered, gradients)


def gradient_of(leaf: Tensor) -> Tensor:
    """Return the gradient of a leaf, zero if it has none."""
    if leaf.grad is None:
        leaf.grad = torch.zeros_like(leaf)
    return leaf.grad
