"""The compiled rounding and scaling of int8 layers: equal on all instruction sets, and checked."""

import pytest
import torch
from torch import Tensor

from tests.kernels import load_compiled_attention, needs_compiler

pytestmark = needs_compiler


@pytest.fixture(autouse=True)
def _compiled() -> None:
    load_compiled_attention()


def kernels() -> list[str]:
    return str(torch.ops.polyprefix.kernels()).split()


@pytest.mark.parametrize("width", [1, 7, 16, 37, 384])
def test_every_instruction_set_rounds_to_the_same_bits(width: int) -> None:
    numbers = torch.randn(9, width, generator=torch.Generator().manual_seed(0)) * 5

    first, *others = (torch.ops.polyprefix.round_rows(numbers, kernel) for kernel in kernels())

    assert int(first[0].max()) <= 127
    for other in others:
        assert all(map(torch.equal, other, first))


@pytest.mark.parametrize("width", [1, 7, 16, 37, 384])
@pytest.mark.parametrize("dtype", [torch.int32, torch.float32])
def test_every_instruction_set_scales_as_the_formula_says(width: int, dtype: torch.dtype) -> None:
    make = torch.Generator().manual_seed(0)
    sums = torch.randint(-(2**20), 2**20, (5, width), generator=make).to(dtype)
    of_rows = [torch.randn(5, generator=make) for _ in range(2)]
    of_columns = [torch.randn(width, generator=make) for _ in range(3)]
    scales, lows, weight_scales, shifts, bias = (x.double() for x in (*of_rows, *of_columns))
    expected = sums.double() * weight_scales * scales[:, None] + lows[:, None] * shifts + bias

    for kernel in kernels():
        found = sums.clone()
        torch.ops.polyprefix.scale_rows_(found, *of_rows, *of_columns, kernel)
        assert torch.allclose(found.view(torch.float32).double(), expected, rtol=1e-5), kernel


def test_threads_round_what_one_thread_rounds() -> None:
    numbers = torch.randn(700, 384)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        expected = torch.ops.polyprefix.round_rows(numbers)
        torch.set_num_threads(3)
        found = torch.ops.polyprefix.round_rows(numbers)
    finally:
        torch.set_num_threads(before)

    assert all(map(torch.equal, found, expected))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        (torch.zeros(3), "numbers must be a contiguous matrix"),
        (torch.zeros(4, 3).t(), "numbers must be a contiguous matrix"),
        (torch.zeros(3, 0), "at least one column"),
        (torch.zeros(3, 4, dtype=torch.float64), "contiguous float32"),
    ],
)
def test_numbers_that_cannot_be_rounded_are_rejected(numbers: Tensor, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        torch.ops.polyprefix.round_rows(numbers)


def test_sums_that_do_not_fit_are_rejected() -> None:
    rows, columns = [torch.ones(3)] * 2, [torch.ones(4)] * 3

    with pytest.raises(RuntimeError, match="sums must have dtype int32 or float32"):
        torch.ops.polyprefix.scale_rows_(torch.zeros(3, 4, dtype=torch.int64), *rows, *columns)
    with pytest.raises(RuntimeError, match="scales must be 2 contiguous float32"):
        torch.ops.polyprefix.scale_rows_(torch.zeros(2, 4), *rows, *columns)
    with pytest.raises(RuntimeError, match="shifts must be 5 contiguous float32"):
        torch.ops.polyprefix.scale_rows_(torch.zeros(3, 5), *rows, torch.ones(5), *columns[1:])
