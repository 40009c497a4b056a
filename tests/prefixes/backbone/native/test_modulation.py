"""The compiled changes by vectors: as the formula says, and safe to call."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.kernels import load_compiled_attention, needs_compiler

pytestmark = needs_compiler

LENGTHS = (3, 0, 1, 40)
SLOTS_OF_TEXTS: Sequence[Sequence[int]] = ([1, 4, 0, 2], [6, 5, 3, 1], [], [2, 2, 6, 0])
"""Two slots for the scales and two for the shifts of each text that has vectors."""
OF_RANKS: Sequence[Sequence[int]] = (
    [1, 4, 0, 2, 6, 5, 3, 1],
    [],
    [6, 5, 3, 1],
    [slot % 7 for slot in range(4 * (1 + 64))],
)
"""The slots of ranks 1, 0 and 64, which is the largest. The second text has no tokens."""


@pytest.fixture(autouse=True)
def _compiled() -> None:
    load_compiled_attention()


def kernels() -> list[str]:
    return str(torch.ops.polyprefix.kernels()).split()


def layout(*, texts: Sequence[Sequence[int]] = SLOTS_OF_TEXTS, **changes: Tensor) -> list[Tensor]:
    bounds = {
        "row_bounds": torch.tensor([0, *LENGTHS]).cumsum(0),
        "slot_bounds": torch.tensor([0, *map(len, texts)]).cumsum(0),
        "slots": torch.tensor([slot for slots in texts for slot in slots]),
    }
    return list((bounds | changes).values())


def random_case(slot_shape: tuple[int, int], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return tokens, and the pool of one norm: a view of one of several layers."""
    generator = torch.Generator().manual_seed(0)
    width = 2 * slot_shape[0] * slot_shape[1]
    tokens = torch.randn(sum(LENGTHS), width, generator=generator).to(dtype)
    return tokens, torch.randn(3, 2, 7, *slot_shape, generator=generator).to(dtype)[1, 1]


def by_formula(
    tokens: Tensor, pool: Tensor, texts: Sequence[Sequence[int]] = SLOTS_OF_TEXTS
) -> Tensor:
    """Compute `y + y * scale + shift + U D y` with explicit loops, in float64."""
    expected, start = tokens.double().clone(), 0
    for length, slots in zip(LENGTHS, texts, strict=True):
        if slots:
            halves = pool[list(slots)].double().view(2, len(slots) // 4, -1)
            (scale, *down), (shift, *up) = halves
            own = tokens[start : start + length].double()
            changed = own * (1 + scale) + shift
            for d, u in zip(down, up, strict=True):
                changed += torch.outer(own @ d, u)
            expected[start : start + length] = changed
        start += length
    return expected


@pytest.mark.parametrize("texts", [SLOTS_OF_TEXTS, OF_RANKS], ids=["plain", "ranks"])
@pytest.mark.parametrize("slot_shape", [(1, 1), (3, 5), (2, 8), (12, 32)])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 2**-8)], ids=str
)
def test_every_instruction_set_computes_the_formula(
    slot_shape: tuple[int, int],
    dtype: torch.dtype,
    tolerance: float,
    texts: Sequence[Sequence[int]],
) -> None:
    tokens, pool = random_case(slot_shape, dtype)
    expected = by_formula(tokens, pool, texts)
    least = tolerance * (1 if texts is SLOTS_OF_TEXTS else float(expected.abs().max()))

    for kernel in kernels():
        found = tokens.clone()
        torch.ops.polyprefix.modulate_(found, pool, *layout(texts=texts), kernel)
        torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=least)
        if texts is SLOTS_OF_TEXTS:
            assert torch.equal(found[3:4], tokens[3:4])  # the text without vectors


def test_vectors_in_float32_change_tokens_in_bfloat16() -> None:
    tokens, pool = random_case((2, 8), torch.float32)
    expected = by_formula(tokens.bfloat16(), pool)
    found = tokens.bfloat16()
    torch.ops.polyprefix.modulate_(found, pool, *layout())
    torch.testing.assert_close(found.double(), expected, rtol=2**-8, atol=2**-8)


def test_tokens_that_are_not_finite_stay_where_they_are() -> None:
    tokens, pool = random_case((2, 8), torch.float32)
    tokens[0, 0], tokens[10, 20] = torch.nan, torch.inf
    torch.ops.polyprefix.modulate_(tokens, pool, *layout(texts=OF_RANKS))
    assert (~tokens.isfinite()).any(1).nonzero().flatten().tolist() == [0, 10]


def test_numbers_that_are_not_finite_stay_where_they_are() -> None:
    tokens, pool = random_case((2, 8), torch.bfloat16)
    tokens[0, 0], tokens[5, 20] = torch.nan, torch.inf
    torch.ops.polyprefix.modulate_(tokens, pool, *layout())
    assert torch.argwhere(~tokens.isfinite()).tolist() == [[0, 0], [5, 20]]


@pytest.mark.parametrize("rank", [0, 8])
@pytest.mark.parametrize("num_texts", [1, 100])
def test_threads_compute_what_one_thread_computes(num_texts: int, rank: int) -> None:
    bounds = torch.arange(num_texts + 1) * (1000 // num_texts)
    count = 4 * (1 + rank)
    layout = (bounds, torch.arange(num_texts + 1) * count, torch.arange(count * num_texts) % 7)
    tokens, pool = torch.randn(1000, 768), torch.randn(7, 12, 32)
    results = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            results.append(tokens.clone())
            torch.ops.polyprefix.modulate_(results[-1], pool, *layout)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*results)


def changed(**changes: Any) -> dict[str, Any]:
    return changes


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (changed(slots=torch.tensor([7, *[0] * 11])), "slot 7 is not in the pool"),
        (changed(slots=torch.tensor([-1, *[0] * 11])), "slot -1 is not in the pool"),
        (
            changed(slot_bounds=torch.tensor([0, 2, 8, 8, 12])),
            "must hold up to 65 pairs of vectors of 32",
        ),
        (
            changed(slot_bounds=torch.tensor([0, 1, 5, 9, 12])),
            "must hold up to 65 pairs of vectors of 32",
        ),
        (changed(row_bounds=torch.tensor([0, 3, 3, 4, 43])), "row_bounds must go from 0 to 44"),
        (
            changed(slot_bounds=torch.tensor([0, 0, 0, 0, 264]), slots=torch.zeros(264).long()),
            "must hold up to 65 pairs of vectors of 32",
        ),
        (changed(slot_bounds=torch.tensor([0, 4, 12])), "must have N \\+ 1 numbers each"),
    ],
)
def test_layouts_that_do_not_fit_are_rejected(changes: dict[str, Tensor], reason: str) -> None:
    tokens, pool = random_case((2, 8), torch.float32)
    before = tokens.clone()
    with pytest.raises(RuntimeError, match=reason):
        torch.ops.polyprefix.modulate_(tokens, pool, *layout(texts=SLOTS_OF_TEXTS, **changes))
    assert torch.equal(tokens, before)


@pytest.mark.parametrize(
    ("tokens", "pool", "reason"),
    [
        (torch.zeros(44, 32).double(), torch.zeros(7, 2, 8), "tokens must have dtype float32"),
        (torch.zeros(44, 0), torch.zeros(7, 2, 8), "tokens and slots must have numbers"),
        (torch.zeros(32, 44).T, torch.zeros(7, 2, 8), "tokens must be a contiguous matrix"),
        (torch.zeros(44, 32), torch.zeros(7, 8, 2).transpose(1, 2), "each of its slots contig"),
        (torch.zeros(44, 32), torch.zeros(7, 2, 8).bfloat16(), "needs tokens of bfloat16"),
    ],
)
def test_tensors_that_do_not_fit_are_rejected(tokens: Tensor, pool: Tensor, reason: str) -> None:
    with pytest.raises(RuntimeError, match=reason):
        torch.ops.polyprefix.modulate_(tokens, pool, *layout())
