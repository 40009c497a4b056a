"""Task vectors: what they compute and overwrite, and that both operators do the same."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from prefixes.backbone.grouping import TextSlots
from prefixes.backbone.packing import Row
from prefixes.backbone.task_vectors import TaskVectors, TokenVectors
from tests.kernels import load_compiled_attention, needs_compiler

LENGTHS = (2, 1, 3)
SOME: Sequence[Sequence[int]] = ((0, 1), (), (2, 2))
ALL: Sequence[Sequence[int]] = ((0, 1), (1, 3), (2, 2))
RANKS: Sequence[Sequence[int]] = ((0, 1, 2, 3), (1, 3), (3, 2, 1, 0, 1, 3))
"""Slots of ranks 1, 0 and 2: scales and rows of D, then shifts and columns of U."""
SAME_RANK: Sequence[Sequence[int]] = ((0, 1, 2, 3), (), (3, 2, 1, 0))
ONE_TASK: Sequence[Sequence[int]] = ((0, 1, 2, 3), (), (0, 1, 2, 3))
CASES = pytest.mark.parametrize(
    "slots",
    [SOME, ALL, RANKS, SAME_RANK, ONE_TASK],
    ids=["some", "all", "ranks", "same-rank", "one-task"],
)


def vectors_of(slots: Sequence[Sequence[int]]) -> TaskVectors:
    """Return the vectors of three texts, of which a slot holds one vector."""
    rows = [
        Row([0] * length, [0] * length, 0, vectors=own, rank=max(0, len(own) // 2 - 1))
        for length, own in zip(LENGTHS, slots, strict=True)
    ]
    vectors = TaskVectors.of(rows, np.cumsum([0, *LENGTHS]), "cpu")
    assert vectors is not None
    return vectors


def by_formula(slots: Sequence[Sequence[int]], pool: torch.Tensor, hidden: torch.Tensor) -> Any:
    """Compute `y (1 + s) + t + U D y` for each token."""
    texts = torch.split(hidden[0], list(LENGTHS))
    changed = list(texts)
    for number, (own, y) in enumerate(zip(slots, texts, strict=True)):
        if own:
            (scale, *down), (shift, *up) = pool[list(own)].flatten(1).view(2, len(own) // 2, -1)
            changed[number] = y * (1 + scale) + shift
            for d, u in zip(down, up, strict=True):
                changed[number] = changed[number] + torch.outer(y @ d, u)
    return torch.cat(changed)[None]


@pytest.fixture(params=["torch", pytest.param("compiled", marks=needs_compiler)])
def _operator(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "compiled":
        load_compiled_attention()
    else:
        monkeypatch.setattr(TextSlots, "of", lambda *_: None)


@CASES
@pytest.mark.usefixtures("_operator")
def test_hidden_states_are_overwritten_only_if_they_may_be(slots: Sequence[Sequence[int]]) -> None:
    pool = torch.randn(4, 2, 3)  # a slot has the six values of a token
    hidden = torch.randn(1, 6, 6)
    before = hidden.clone()
    changed = vectors_of(slots).apply(pool, hidden)
    torch.testing.assert_close(changed, by_formula(slots, pool, hidden))
    assert torch.equal(hidden, before)
    assert torch.equal(changed[0, 2], hidden[0, 2]) == (slots[1] == ())
    overwritten = vectors_of(slots).apply(pool, hidden, in_place=True)
    assert overwritten is hidden
    torch.testing.assert_close(overwritten, changed)


@needs_compiler
def test_both_operators_are_tested() -> None:
    load_compiled_attention()
    assert vectors_of(ALL).texts is not None


@CASES
@pytest.mark.usefixtures("_operator")
@pytest.mark.parametrize("number_type", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_vectors_apply_in_every_number_type(
    number_type: torch.dtype, slots: Sequence[Sequence[int]]
) -> None:
    pool = torch.randn(4, 2, 3).to(number_type)
    hidden = torch.randn(1, 6, 6).to(number_type)
    expected = by_formula(slots, pool.double(), hidden.double())
    changed = vectors_of(slots).apply(pool, hidden, in_place=True)
    torch.testing.assert_close(changed.double(), expected, rtol=0.04, atol=0.04)


@CASES
def test_gradients_are_those_of_the_formula(slots: Sequence[Sequence[int]]) -> None:
    pool = torch.randn(4, 2, 3, dtype=torch.float64, requires_grad=True)
    hidden = torch.randn(1, 6, 6, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(1, 6, 6, dtype=torch.float64)
    found, expected = (
        torch.autograd.grad((changed * weights).sum(), (pool, hidden))
        for changed in (vectors_of(slots).apply(pool, hidden), by_formula(slots, pool, hidden))
    )
    torch.testing.assert_close(found, expected)


@pytest.mark.usefixtures("_operator")
def test_numbers_that_are_not_finite_stay_in_their_text() -> None:
    hidden = torch.randn(1, 6, 6)
    hidden[0, 0, 0] = torch.inf
    changed = vectors_of(SAME_RANK).apply(torch.randn(4, 2, 3), hidden, in_place=True)
    assert changed[0, 1:].isfinite().all()


def test_gradients_of_a_padded_text_do_not_depend_on_other_texts() -> None:
    pool = torch.randn(6, 2, 3, requires_grad=True)
    hidden = torch.randn(1, 6, 6)
    hidden[0, 0, 0] = torch.inf
    slots = ((0, 1, 0, 1), (2, 3, 2, 3), (4, 5, 4, 5))
    changed = vectors_of(slots).apply(pool, hidden)
    (gradient,) = torch.autograd.grad(changed[0, 2:].sum(), pool)
    assert gradient[2:].isfinite().all()


def test_long_texts_do_not_pad_short_ones() -> None:
    lengths = (200, *[5] * 50)
    rows = [
        Row([0] * n, [0] * n, 0, vectors=(number % 2, 1, 2, 3), rank=1)
        for number, n in enumerate(lengths)
    ]
    vectors = TokenVectors.of(rows, np.cumsum([0, *lengths]), "cpu")
    multiplied = [
        len(updates.padding.tokens if updates.padding else updates.places)
        for updates in vectors.updates
    ]
    assert sum(multiplied) == sum(lengths)


def test_texts_of_one_task_are_multiplied_together_without_padding() -> None:
    lengths = (200, 5, 30)
    rows = [Row([0] * n, [0] * n, 0, vectors=(0, 1, 2, 3), rank=1) for n in lengths]
    (updates,) = TokenVectors.of(rows, np.cumsum([0, *lengths]), "cpu").updates
    assert (updates.num_texts, updates.padding, len(updates.places)) == (1, None, 235)
