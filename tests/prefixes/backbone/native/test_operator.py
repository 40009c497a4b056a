"""The compiled attention: equal to explicit loops, exact in what it separates, safe to call."""

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.kernels import load_compiled_attention, needs_compiler
from tests.prefixes.backbone.plain_attention import AttentionCase, plain_attention

pytestmark = needs_compiler

NUM_SLOTS = 150
PREFIX_LENGTHS = (16, 0, 1, 128, 5)
MAX_ERROR = {torch.float32: 1e-5, torch.bfloat16: 1e-2}


def make_case(
    lengths: Sequence[int],
    *,
    head_size: int = 32,
    num_heads: int = 2,
    key_heads: int | None = None,
    dtype: torch.dtype = torch.float32,
    window: int | None = None,
    prefix_lengths: Sequence[int] = PREFIX_LENGTHS,
) -> AttentionCase:
    """Make random texts. Query, key and value are views of one projection, as in some models."""
    generator = torch.Generator().manual_seed(3)
    key_heads = key_heads or num_heads
    widths = [num_heads, key_heads, key_heads]
    projected = torch.randn(sum(lengths), sum(widths) * head_size, generator=generator).to(dtype)
    projected = projected.view(len(projected), sum(widths), head_size)
    query, key, value = torch.split(projected, widths, dim=1)
    pool = torch.randn(2, NUM_SLOTS, key_heads, head_size, generator=generator).to(dtype)
    choose = random.Random(3)
    slots = [
        choose.sample(range(NUM_SLOTS), prefix_lengths[n % len(prefix_lengths)])
        for n in range(len(lengths))
    ]
    return AttentionCase(query, key, value, pool, lengths, slots, window=window)


def run(case: AttentionCase, *, kernel: str = "") -> Tensor:
    output: Tensor = torch.ops.polyprefix.prefix_attention(
        case.query, case.key, case.value, case.pool, *layout_of(case), kernel
    )
    return output


def layout_of(case: AttentionCase) -> list[Any]:
    slot_bounds = [sum(map(len, case.slots[:n])) for n in range(len(case.slots) + 1)]
    slots = [slot for own in case.slots for slot in own]
    return [
        torch.tensor(case.bounds),
        torch.tensor(slot_bounds),
        torch.tensor(slots, dtype=torch.long),
        case.scaling,
        case.window,
    ]


def gradients(case: AttentionCase, *, kernel: str = "") -> tuple[Tensor, ...]:
    """Return the gradients of query, key, value and pool, for random ones of the output."""
    output = run(case, kernel=kernel)
    outer = torch.randn(output.shape, generator=torch.Generator().manual_seed(5)).to(output)
    found: tuple[Tensor, ...] = torch.ops.polyprefix.prefix_attention_backward(
        outer, case.query, case.key, case.value, case.pool, output, *layout_of(case), kernel
    )
    return found


def plain_gradients(case: AttentionCase) -> tuple[Tensor, ...]:
    leaves = [x.double().requires_grad_() for x in (case.query, case.key, case.value, case.pool)]
    query, key, value, pool = leaves
    output = plain_attention(replace(case, query=query, key=key, value=value, pool=pool))
    outer = torch.randn(output.shape, generator=torch.Generator().manual_seed(5))
    return torch.autograd.grad(output, leaves, outer.to(case.query.dtype).double())


def assert_plain_gradients(case: AttentionCase, found: tuple[Tensor, ...]) -> None:
    tolerance = 1e-5 if case.query.dtype == torch.float32 else 2e-2
    for mine, expected in zip(found, plain_gradients(case), strict=True):
        scale = float(expected.abs().max())
        torch.testing.assert_close(mine.double(), expected, atol=tolerance * scale, rtol=0)


def rows_of(case: AttentionCase, output: Tensor) -> Sequence[Tensor]:
    return torch.split(output, list(case.lengths))


def alone(case: AttentionCase, row: int) -> AttentionCase:
    """Return a case that consists of one text of another."""
    own = slice(case.bounds[row], case.bounds[row + 1])
    return replace(
        case,
        query=case.query[own],
        key=case.key[own],
        value=case.value[own],
        lengths=[case.lengths[row]],
        slots=[case.slots[row]],
    )


def assert_plain(case: AttentionCase, output: Tensor) -> None:
    assert output.dtype == case.query.dtype
    assert output.is_contiguous()
    expected = plain_attention(case)
    torch.testing.assert_close(
        output.double(), expected, atol=MAX_ERROR[output.dtype], rtol=0, equal_nan=True
    )


@pytest.fixture(autouse=True, scope="module")
def operators() -> None:
    load_compiled_attention()


@pytest.fixture(params=["avx512bf16", "avx512", "avx2", "baseline"])
def kernel(request: pytest.FixtureRequest) -> str:
    """Every kernel that this processor can run."""
    if request.param not in torch.ops.polyprefix.kernels().split():
        pytest.skip(f"this processor cannot run the kernel {request.param}")
    return str(request.param)


def test_every_processor_can_run_the_last_kernel() -> None:
    assert torch.ops.polyprefix.kernels().split()[-1] == "baseline"


@pytest.mark.parametrize("dtype", MAX_ERROR)
def test_texts_of_all_lengths_get_what_explicit_loops_give(kernel: str, dtype: torch.dtype) -> None:
    case = make_case(range(1, 71), dtype=dtype)

    assert_plain(case, run(case, kernel=kernel))


@pytest.mark.parametrize("head_size", [1, 7, 8, 16, 24, 40, 64, 96, 128])
@pytest.mark.parametrize("dtype", MAX_ERROR)
def test_heads_of_all_sizes(kernel: str, dtype: torch.dtype, head_size: int) -> None:
    case = make_case([17, 1, 31, 66], head_size=head_size, dtype=dtype)

    assert_plain(case, run(case, kernel=kernel))


@pytest.mark.parametrize("window", [1, 2, 9, 64, 500])
def test_windows_hide_far_tokens_but_no_prefix(kernel: str, window: int) -> None:
    case = make_case([3, 70, 300, 12], window=window)

    assert_plain(case, run(case, kernel=kernel))


@pytest.mark.parametrize("key_heads", [1, 2, 4])
def test_heads_share_keys(kernel: str, key_heads: int) -> None:
    case = make_case([3, 20, 9], num_heads=4, key_heads=key_heads)

    assert_plain(case, run(case, kernel=kernel))


def test_long_texts_are_computed_in_parts(kernel: str) -> None:
    case = make_case([700, 2, 130], num_heads=1, head_size=8)

    assert_plain(case, run(case, kernel=kernel))


def test_large_scores_keep_the_softmax_exact(kernel: str) -> None:
    case = make_case([200, 9], prefix_lengths=[0])
    case = replace(case, query=case.query.round(), key=case.key.round(), scaling=8.0)

    assert_plain(case, run(case, kernel=kernel))  # float32 holds these scores without error


def test_weights_are_as_exact_as_float32(kernel: str) -> None:
    scores = torch.linspace(-87, 0, 5000).view(-1, 1, 1)
    ones, pool = torch.ones_like(scores), torch.zeros(2, 1, 1, 1)
    # A text has one token, and a slot of score and value 0: its output is a sigmoid.
    case = AttentionCase(ones, scores, ones, pool, [1] * 5000, [[0]] * 5000, scaling=1.0)

    output = run(case, kernel=kernel)

    torch.testing.assert_close(output.double(), scores.double().sigmoid(), atol=0, rtol=3e-7)


def test_a_float32_pool_serves_bfloat16_tokens(kernel: str) -> None:
    case = make_case([5, 17, 30], dtype=torch.bfloat16)
    case = replace(case, pool=torch.randn(case.pool.shape))

    assert_plain(case, run(case, kernel=kernel))


def test_rounding_to_bfloat16_is_to_the_nearest_even(kernel: str) -> None:
    # One key per text: the output is the value, which passes through float32.
    case = make_case([1] * 8, dtype=torch.bfloat16, prefix_lengths=[0])

    assert torch.equal(run(case, kernel=kernel), case.value)
    two = make_case([2], dtype=torch.bfloat16, prefix_lengths=[0])
    expected = (two.value.float().sum(0) / 2).bfloat16()  # exact sums, many of them ties
    output = run(replace(two, query=torch.zeros_like(two.query)), kernel=kernel)
    assert torch.equal(output, expected.expand_as(output))


def test_tensors_as_transformers_gives_them_need_no_copy(kernel: str) -> None:
    case = make_case([5, 9, 30])
    by_head = [x.transpose(0, 1).contiguous().transpose(0, 1) for x in (case.query, case.key)]

    output = run(replace(case, query=by_head[0], key=by_head[1]), kernel=kernel)

    assert torch.equal(output, run(case, kernel=kernel))


def test_a_text_gets_the_same_bits_alone_in_any_order_and_with_any_number_of_threads(
    kernel: str,
) -> None:
    case = make_case([40, 1, 300, 9, 17, 64, 33], num_heads=4)
    together = rows_of(case, run(case, kernel=kernel))
    num_threads = torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            assert torch.equal(run(case, kernel=kernel), torch.cat(list(together)))
    finally:
        torch.set_num_threads(num_threads)
    for row, expected in enumerate(together):
        assert torch.equal(run(alone(case, row), kernel=kernel), expected)


@pytest.mark.parametrize("poison", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("place", ["query", "key", "value", "pool"])
def test_numbers_that_are_not_finite_stay_in_their_text(
    kernel: str, place: str, poison: float
) -> None:
    case = make_case([20, 9, 33, 1, 16], prefix_lengths=[4])
    case = replace(case, slots=[range(4 * n, 4 * n + 4) for n in range(5)])
    sound = rows_of(case, run(case, kernel=kernel))
    poisoned = getattr(case, place).clone()
    if place == "pool":
        poisoned[:, 9, :, 3] = poison  # a slot of the third text
    else:
        poisoned[40, :, 3] = poison  # a token of it
    case = replace(case, **{place: poisoned})

    output = run(case, kernel=kernel)

    assert not rows_of(case, output)[2].isfinite().all()
    assert_plain(case, output)
    for row in (0, 1, 3, 4):
        assert torch.equal(rows_of(case, output)[row], sound[row])


def test_slots_that_no_text_uses_are_never_read(kernel: str) -> None:
    case = make_case([9, 20, 3])
    sound = run(case, kernel=kernel)
    used = {slot for own in case.slots for slot in own}
    unused = [slot for slot in range(NUM_SLOTS) if slot not in used]
    pool = case.pool.clone()
    pool[:, unused] = torch.nan

    assert torch.equal(run(replace(case, pool=pool), kernel=kernel), sound)


def test_several_threads_of_python_call_at_the_same_time() -> None:
    cases = [make_case([9, 200, 20], head_size=size) for size in (8, 32, 64, 96)] * 5
    expected = [run(case) for case in cases]

    with ThreadPoolExecutor(4) as threads:
        outputs = list(threads.map(run, cases))

    assert all(torch.equal(a, b) for a, b in zip(outputs, expected, strict=True))


def test_a_batch_may_be_empty_and_so_may_a_text() -> None:
    assert run(make_case([])).shape == (0, 2, 32)
    case = make_case([0, 5, 0, 0, 9, 0])
    assert_plain(case, run(case))


@pytest.mark.parametrize("dtype", MAX_ERROR)
@pytest.mark.parametrize("head_size", [7, 32, 40, 64])
def test_gradients_equal_those_of_explicit_loops(
    kernel: str, dtype: torch.dtype, head_size: int
) -> None:
    case = make_case([5, 17, 33, 1, 140, 8, 16], head_size=head_size, dtype=dtype)
    case = replace(case, slots=[case.slots[0], case.slots[0], *case.slots[2:]])  # a shared prefix

    found = gradients(case, kernel=kernel)

    assert [x.dtype for x in found] == [dtype, dtype, dtype, torch.float32]
    assert_plain_gradients(case, found)


def test_gradients_of_windows_and_of_shared_keys(kernel: str) -> None:
    windowed = make_case([70, 7], window=9, head_size=16)
    shared = make_case([20, 9, 66], num_heads=4, key_heads=2, head_size=16)

    for case in (windowed, shared):
        assert_plain_gradients(case, gradients(case, kernel=kernel))


def test_a_step_of_training_has_the_same_bits_with_any_number_of_threads(kernel: str) -> None:
    case = make_case([40, 1, 150, 9, 17, 64], num_heads=4)
    case = replace(case, slots=[case.slots[0]] * 6)
    expected = gradients(case, kernel=kernel)
    num_threads = torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found = gradients(case, kernel=kernel)
            assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    finally:
        torch.set_num_threads(num_threads)


def test_gradients_that_are_not_finite_stay_in_their_text(kernel: str) -> None:
    case = make_case([20, 9, 33, 1], prefix_lengths=[4])
    case = replace(case, slots=[range(4 * n, 4 * n + 4) for n in range(4)])
    sound = gradients(case, kernel=kernel)
    key = case.key.clone()
    key[40] = torch.nan  # of the third text

    found = gradients(replace(case, key=key), kernel=kernel)

    for mine, expected in zip(found[:3], sound[:3], strict=True):
        rows = zip(rows_of(case, mine), rows_of(case, expected), strict=True)
        assert [torch.equal(a, b) for a, b in rows] == [True, True, False, True]
    others = [slot for slot in range(NUM_SLOTS) if slot not in case.slots[2]]
    assert torch.equal(found[3][:, others], sound[3][:, others])


def changed(**changes: Any) -> dict[str, Any]:
    return changes


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (changed(slots=[[NUM_SLOTS], []]), "slot 150 is not in the pool"),
        (changed(slots=[[-1], []]), "slot -1 is not in the pool"),
        (changed(lengths=[5, 5]), "row_bounds must go from 0 to 9"),
        (changed(lengths=[12, -3]), "row_bounds must not decrease"),
        (changed(query=torch.zeros(9, 2, 32).double()), "query must have dtype float32 or"),
        (changed(key=torch.zeros(9, 2, 16)), "key must fit query"),
        (changed(value=torch.zeros(8, 2, 32)), "value must fit query"),
        (changed(pool=torch.zeros(2, NUM_SLOTS, 4, 32)), "must have the same heads"),
        (changed(pool=torch.zeros(2, NUM_SLOTS, 2, 32).bfloat16()), "needs tokens of bfloat16"),
        (
            changed(query=torch.zeros(9, 32, 2).transpose(1, 2)),
            "last dimension of query must be contiguous",
        ),
    ],
)
def test_inputs_that_do_not_fit_are_rejected(changes: dict[str, Any], reason: str) -> None:
    case = replace(make_case([5, 4]), **changes)

    with pytest.raises(RuntimeError, match=reason):
        run(case)


def test_a_kernel_that_the_processor_lacks_is_rejected() -> None:
    with pytest.raises(RuntimeError, match="cannot run the kernel mmx"):
        run(make_case([5]), kernel="mmx")
