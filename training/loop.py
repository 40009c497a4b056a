"""The training loop: many prefixes learn at once, in the same packed batches of one backbone.

Every step takes the next rows of every run that is not over, lays them end to end, and runs them
through the frozen backbone together, each row with its own run's prefix. A run's loss is the mean
over its own rows, and the losses are summed: no run's gradient depends on another.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from prefixes.backbone import Backbone, Head, PackedBatch, head_outputs
from training.evaluate import batches
from training.noise import drop
from training.run import Run, row_losses


@dataclass(frozen=True, slots=True, eq=False)
class _Share:
    """What one run brings to a step: its rows, its slots in the pool, its head."""

    run: Run
    rows: list[int]
    slots: tuple[int, ...]
    head: Head


Item = tuple[int, int]
"""A row of a step: the number of its share, and the row's number in its run."""


def train(
    backbone: Backbone,
    runs: Sequence[Run],
    *,
    tokens_per_batch: int,
    after_step: Callable[[Sequence[Run]], None],
) -> None:
    """Train until every run is over.

    Args:
        backbone: frozen; runs of all tasks share it.
        runs: advanced in place; those that have ended are left alone.
        tokens_per_batch: bounds one forward and backward pass, and so the memory; a step that
            has more tokens is made of several passes.
        after_step: called with the runs that took part, when all of them are between two steps
            and may be saved.
    """
    while active := [run for run in runs if run.ended is None]:
        take_step(backbone, active, tokens_per_batch=tokens_per_batch)
        for run in active:
            if run.ended is None and run.is_evaluation_due:
                run.evaluate(backbone, tokens_per_batch)
        after_step(active)


def take_step(backbone: Backbone, runs: Sequence[Run], *, tokens_per_batch: int) -> None:
    """Let every run take one step of its optimiser."""
    tables = torch.cat([_dropped_kv(run) for run in runs], dim=2)  # (L, 2, C, H, D)
    # The pool is cut off from what made it, so that the passes of this step add up their
    # gradients in it and the parameters behind it are walked only once.
    pool = tables.detach().to(backbone.dtype).requires_grad_()
    shares = _shares(backbone, runs)
    losses = torch.zeros(len(runs), device=backbone.device)
    for items in _passes(shares, tokens_per_batch):
        loss = _losses(backbone, pool, shares, items)
        loss.sum().backward()  # type: ignore[no-untyped-call]  # torch's own gap
        losses += loss.detach()
    assert pool.grad is not None
    tables.backward(pool.grad.to(tables.dtype))  # type: ignore[no-untyped-call]
    for run, value in zip(runs, losses.tolist(), strict=True):
        run.advance(value)


def _dropped_kv(run: Run) -> Tensor:
    return drop(run.learner.kv(), run.config.prefix_dropout, run.generator("prefix dropout"))


def _shares(backbone: Backbone, runs: Sequence[Run]) -> list[_Share]:
    shares = []
    start = 0
    for run in runs:
        head = run.learner.head(
            backbone.dtype,
            dropout=run.config.feature_dropout,
            generator=run.generator("feature dropout"),
        )
        stop = start + run.config.prefix_length
        shares.append(_Share(run, run.next_rows(), tuple(range(start, stop)), head))
        start = stop
    return shares


def _passes(shares: Sequence[_Share], tokens_per_batch: int) -> Iterator[list[Item]]:
    """Cut a step into forward passes: batch by batch of every run, none above the token budget."""
    for number in range(max(share.run.config.gradient_accumulation for share in shares)):
        items = [
            (index, row)
            for index, share in enumerate(shares)
            for row in _slice(share.rows, number, share.run.config.batch_size)
        ]
        lengths = [len(shares[index].run.texts[row].token_ids) for index, row in items]
        for places in batches(range(len(items)), lengths, tokens_per_batch):
            yield [items[place] for place in places]


def _slice(rows: Sequence[int], number: int, size: int) -> Sequence[int]:
    return rows[number * size : (number + 1) * size]


def _losses(
    backbone: Backbone, pool: Tensor, shares: Sequence[_Share], items: Sequence[Item]
) -> Tensor:
    """Run one pass; give what it adds to each share's mean loss, `[shares]`."""
    rows = [
        backbone.row(
            shares[index].run.texts[row],
            position_offset=shares[index].run.config.offset,
            slots=shares[index].slots,
        )
        for index, row in items
    ]
    batch = PackedBatch.pack(rows, backbone.device)
    hidden = backbone(batch, pool)
    heads = [shares[index].head for index, _ in items]
    logits = head_outputs(hidden, batch, heads, pooler=backbone.pooler)
    losses = [torch.zeros((), device=backbone.device) for _ in shares]
    for index, places in _places_by_share(items).items():
        share = shares[index]
        targets = share.run.targets[[items[place][1] for place in places]]
        own = torch.stack([logits[place] for place in places])
        each = row_losses(share.run.config.problem_type, own, targets)
        losses[index] = each.sum() / len(share.rows)
    return torch.stack(losses)


def _places_by_share(items: Sequence[Item]) -> dict[int, list[int]]:
    places: dict[int, list[int]] = {}
    for place, (index, _) in enumerate(items):
        places.setdefault(index, []).append(place)
    return places
