"""The training loop: many prefixes learn at once, in the same packed batches of one backbone.

Every step takes the next rows of every run that is not over, lays them end to end, and runs them
through the frozen backbone together, each row with its own run's prefix. A run's loss is the mean
over its own rows, and the losses are summed: no run's gradient depends on another.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from prefixes.backbone import Backbone, PackedBatch, head_outputs
from training.evaluate import batches
from training.learner import LearningHead
from training.parallel import OneProcess, Processes
from training.run import Run
from training.steering import Steering, gradient_of


@dataclass(frozen=True, slots=True, eq=False)
class _Share:
    """What one run brings to a step: its pieces, its slots in the pool or its prompt, its head.

    `weight` makes the mean of the losses of its pieces.
    """

    run: Run
    pieces: list[int]
    slots: tuple[int, ...]
    prompt: Tensor | None
    head: LearningHead
    weight: float


Item = tuple[int, int]
"""A piece of a step: the number of its share, and the piece's number in its run."""


def train(
    backbone: Backbone,
    runs: Sequence[Run],
    *,
    tokens_per_batch: int,
    after_step: Callable[[Sequence[Run]], None],
    processes: Processes | None = None,
) -> None:
    """Train until every run is over.

    Args:
        backbone: frozen; runs of all tasks share it.
        runs: advanced in place; those that have ended are left alone. `after_step` may end some,
            or add others that join from the next step on.
        tokens_per_batch: bounds one forward and backward pass, and so the memory; a step that
            has more tokens is made of several passes. Where the pieces of a batch depend on each
            other, as those of an embedding do, they run together even so.
        after_step: called with the runs that took part, when all of them are between two steps
            and may be saved.
        processes: those that share each step; all must hold the same runs.
    """
    while active := [run for run in runs if run.ended is None]:
        take_step(backbone, active, tokens_per_batch=tokens_per_batch, processes=processes)
        for run in active:
            if run.ended is None and run.is_evaluation_due:
                run.evaluate(backbone, tokens_per_batch)
        after_step(active)


def take_step(
    backbone: Backbone,
    runs: Sequence[Run],
    *,
    tokens_per_batch: int,
    processes: Processes | None = None,
) -> None:
    """Let every run take one step of its optimiser."""
    processes = processes or OneProcess()
    steering = Steering.of(runs, backbone)
    shares = _shares(runs, steering)
    losses = torch.zeros(len(runs), device=backbone.device)
    for items, is_mine in _shared_out(shares, tokens_per_batch, processes):
        if not is_mine:
            _draw_as_others_do(shares, items)
            continue
        loss = _losses(backbone, steering.pool, shares, items)
        loss.sum().backward()  # type: ignore[no-untyped-call]  # torch's own gap
        losses += loss.detach()
    processes.add_up([losses, *steering.gradients(), *_head_gradients(runs)])
    steering.walk_back()
    for run, value in zip(runs, losses.tolist(), strict=True):
        run.advance(value)


def _shares(runs: Sequence[Run], steering: Steering) -> list[_Share]:
    shares = []
    for run, slots, prompt in zip(runs, steering.slots, steering.prompts, strict=True):
        head = run.learner.head(
            dropout=run.config.feature_dropout,
            generator=run.generator("feature dropout"),
        )
        numbers = run.next_rows()
        weight = run.weight([run.pieces[number] for number in numbers])
        shares.append(_Share(run, numbers, tuple(slots), prompt, head, weight))
    return shares


def _head_gradients(runs: Sequence[Run]) -> list[Tensor]:
    return [gradient_of(values) for run in runs for values in run.learner.head_parameters()]


def _shared_out(
    shares: Sequence[_Share], tokens_per_batch: int, processes: Processes
) -> Iterator[tuple[list[Item], bool]]:
    """Cut a step into passes, and say of each whether this process runs it.

    Passes are cut so that every process has one, and go to who has the fewest tokens so far.
    """
    if processes.count > 1:
        items = [(index, piece) for index, share in enumerate(shares) for piece in share.pieces]
        a_part = -(-_num_tokens(shares, items) // processes.count)
        tokens_per_batch = min(tokens_per_batch, a_part)
    loads = [0] * processes.count
    for some in _passes(shares, tokens_per_batch):
        owner = loads.index(min(loads))
        loads[owner] += _num_tokens(shares, some)
        yield some, owner == processes.number


def _draw_as_others_do(shares: Sequence[_Share], items: Sequence[Item]) -> None:
    """Draw the random numbers of a pass that another process runs, for those after it to follow."""
    for index, number in items:
        hidden_size = shares[index].run.spec.backbone.hidden_size
        head = shares[index].head
        for text in shares[index].run.pieces[number].texts:
            num_features = len(text.token_ids) if head.spec.pooling == "every_token" else 1
            head.pass_over(num_features, hidden_size)


def _passes(shares: Sequence[_Share], tokens_per_batch: int) -> Iterator[list[Item]]:
    """Cut a step into forward passes: batch by batch of every run, none above the token budget."""
    for number in range(max(share.run.config.gradient_accumulation for share in shares)):
        units = [
            unit for index, share in enumerate(shares) for unit in _units(index, share, number)
        ]
        lengths = [_num_tokens(shares, unit) for unit in units]
        for places in batches(range(len(units)), lengths, tokens_per_batch):
            yield [item for place in places for item in units[place]]


def _units(index: int, share: _Share, number: int) -> list[list[Item]]:
    """List what must run together of one batch of a share: each piece alone, or all of them."""
    size = share.run.config.batch_size
    items = [(index, piece) for piece in share.pieces[number * size : (number + 1) * size]]
    if share.run.kind.couples_pieces:
        return [items] if items else []
    return [[item] for item in items]


def _num_tokens(shares: Sequence[_Share], items: Sequence[Item]) -> int:
    pieces = [shares[index].run.pieces[number] for index, number in items]
    return sum(len(text.token_ids) for piece in pieces for text in piece.texts)


def _losses(
    backbone: Backbone, pool: Tensor, shares: Sequence[_Share], items: Sequence[Item]
) -> Tensor:
    """Run one pass; give what it adds to each share's mean loss, `[shares]`."""
    pieces = [shares[index].run.pieces[number] for index, number in items]
    owners = [
        shares[index] for (index, _), piece in zip(items, pieces, strict=True) for _ in piece.texts
    ]
    texts = [text for piece in pieces for text in piece.texts]
    rows = [
        backbone.row(
            text,
            position_offset=share.run.config.offset,
            slots=share.slots,
            prompt=share.prompt,
        )
        for share, text in zip(owners, texts, strict=True)
    ]
    batch = PackedBatch.pack(rows, backbone.device)
    hidden = backbone(batch, pool)
    heads = [share.head for share in owners]
    flat = iter(head_outputs(hidden, batch, heads, pooler=backbone.pooler))
    outputs = [[next(flat) for _ in piece.texts] for piece in pieces]
    losses = [torch.zeros((), device=backbone.device) for _ in shares]
    for index, places in _places_by_share(items).items():
        total = shares[index].run.loss(
            [outputs[place] for place in places], [pieces[place].target for place in places]
        )
        losses[index] = total / shares[index].weight
    return torch.stack(losses)


def _places_by_share(items: Sequence[Item]) -> dict[int, list[int]]:
    places: dict[int, list[int]] = {}
    for place, (index, _) in enumerate(items):
        places.setdefault(index, []).append(place)
    return places
