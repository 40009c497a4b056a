"""The training loop: many prefixes train at once, in the same packed batches of one backbone.

Every step packs the next rows of all active runs and runs them through the frozen backbone
together, each row with the prefix of its run. The loss of a run is the mean over its rows, and the
losses are summed, so no gradient depends on another run.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from prefixes.backbone import Backbone, Streams, head_outputs
from training.learning.parallel import OneProcess, Processes
from training.learning.passes import PieceIndex, StepShare, passes_of, shares_of
from training.learning.prefix_pool import PrefixPool, gradient_of
from training.learning.run import Run


def train(
    backbone: Backbone,
    runs: Sequence[Run],
    *,
    tokens_per_batch: int,
    after_step: Callable[[Sequence[Run]], None],
    processes: Processes | None = None,
) -> None:
    """Train until every run has ended.

    Args:
        backbone: frozen; runs of all tasks share it.
        runs: advanced in place; those that have ended are left alone. `after_step` may end some,
            or add others that join from the next step on.
        tokens_per_batch: bounds the forward and backward passes that run at once, and so the
            memory; a step that has more tokens is made of more passes. Where the pieces of a
            batch depend on each other, as those of an embedding do, they run together even so.
        after_step: called with the runs that took part, when all of them are between two steps
            and may be saved.
        processes: those that share each step; all must hold the same runs.
    """
    with Streams.on(backbone.device) as streams:
        while active := [run for run in runs if run.ended is None]:
            take_step(
                backbone,
                active,
                tokens_per_batch=tokens_per_batch,
                processes=processes,
                streams=streams,
            )
            for run in active:
                if run.ended is None and run.is_evaluation_due:
                    run.evaluate(backbone, tokens_per_batch)
            after_step(active)


def take_step(
    backbone: Backbone,
    runs: Sequence[Run],
    *,
    tokens_per_batch: int,
    streams: Streams,
    processes: Processes | None = None,
) -> None:
    """Take one optimizer step of every run."""
    processes = processes or OneProcess()
    prefix_pool = PrefixPool.of(runs, backbone)
    step = _Step(backbone, prefix_pool, shares_of(runs, prefix_pool), _leaves(runs, prefix_pool))
    losses = torch.zeros(len(runs), device=backbone.device)
    passes = passes_of(step.shares, tokens_per_batch, processes, streams)
    # Summed in the order of the passes, not of their completion, for identical results.
    for found, gradients in streams.map(step.run, passes):
        losses += found
        for leaf, gradient in zip(step.leaves, gradients, strict=True):
            if gradient is not None:
                gradient_of(leaf).add_(gradient)
    processes.add_up([losses, *map(gradient_of, step.leaves)])
    prefix_pool.backpropagate()
    for run, value in zip(runs, losses.tolist(), strict=True):
        run.advance(value)


def _leaves(runs: Sequence[Run], prefix_pool: PrefixPool) -> list[Tensor]:
    """Return the tensors that need gradients in a step: prefixes, prompts and heads."""
    return [*prefix_pool.leaves, *(x for run in runs for x in run.learner.head_parameters())]


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """The common data of all passes of a step. Passes do not change it and may run in parallel."""

    backbone: Backbone
    prefix_pool: PrefixPool
    shares: Sequence[StepShare]
    leaves: Sequence[Tensor]

    def run(self, items: Sequence[PieceIndex]) -> tuple[Tensor, tuple[Tensor | None, ...]]:
        """Run one pass forward and back.

        Returns:
            Its part of each share's mean loss, `[shares]`, and of the gradient of each leaf.
        """
        losses = self._losses(items)
        return losses.detach(), torch.autograd.grad(losses.sum(), self.leaves, allow_unused=True)

    def _losses(self, items: Sequence[PieceIndex]) -> Tensor:
        outputs = self._outputs(items)
        losses = [torch.zeros((), device=self.backbone.device) for _ in self.shares]
        for index, numbers in _numbers_by_share(items).items():
            share = self.shares[index]
            pieces = [share.pieces[items[number][1]] for number in numbers]
            total = share.run.step_loss([outputs[number] for number in numbers], pieces)
            losses[index] = total / share.weight
        return torch.stack(losses)

    def _outputs(self, items: Sequence[PieceIndex]) -> list[list[Tensor]]:
        """Run the texts of all pieces together. Return the outputs of each piece."""
        pieces = [self.shares[index].pieces[place] for index, place in items]
        owners = [
            index for (index, _), piece in zip(items, pieces, strict=True) for _ in piece.texts
        ]
        rows = [self.shares[index].rows(self.backbone, place) for index, place in items]
        batch = self.backbone.pack([row for of_piece in rows for row in of_piece])
        hidden = self.backbone(batch, self.prefix_pool.pool)
        heads = {
            index: self.shares[index].head([items[number][1] for number in numbers])
            for index, numbers in _numbers_by_share(items).items()
        }
        own_heads = [heads[index] for index in owners]
        flat = iter(head_outputs(hidden, batch, own_heads, pooler=self.backbone.pooler))
        return [[next(flat) for _ in piece.texts] for piece in pieces]


def _numbers_by_share(items: Sequence[PieceIndex]) -> dict[int, list[int]]:
    """Return the items of a pass by share."""
    numbers: dict[int, list[int]] = {}
    for number, (index, _) in enumerate(items):
        numbers.setdefault(index, []).append(number)
    return numbers
