"""Packed attention: equal to explicit loops, exact in what it hides, near in bfloat16."""

import torch
from torch import Tensor, nn

from prefixes.backbone import PackedBatch, Row
from prefixes.backbone.attention import PrefixedCall, packed_attention
from prefixes.backbone.kernels.names import LONGEST_COMPILED, TORCH

LAYERS, HEADS, SIZE, SLOTS = 2, 3, 4, 12
ROWS = [
    Row([0] * 3, [0] * 3, 0, (5, 2)),
    Row([0] * 9, [0] * 9, 0),
    Row([0] * 6, [0] * 6, 0, (0, 1, 2)),
    Row([0] * 1, [0] * 1, 0, (9,)),
]
LONGEST = {**LONGEST_COMPILED, "compiled-64": 4}  # rows are short, and some are to be longer
SCALING = 0.7  # not the usual SIZE ** -0.5, so that ignoring it shows


def random_tensors(dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Make query, key and value `[1, H, T, D]`, and a pool `[L, 2, C, H, D]`."""
    generator = torch.Generator().manual_seed(7)
    num_tokens = sum(len(row.token_ids) for row in ROWS)
    shapes = [(1, HEADS, num_tokens, SIZE)] * 3 + [(LAYERS, 2, SLOTS, HEADS, SIZE)]
    return [torch.randn(shape, generator=generator).to(dtype) for shape in shapes]


def attend(
    tensors: list[Tensor], kernel: str = TORCH, *, layer: int = 1, dropout: float = 0.0
) -> Tensor:
    query, key, value, pool = tensors
    packed = PackedBatch.pack(ROWS, longest_compiled=LONGEST[kernel])
    call = PrefixedCall(packed, pool, num_layers_done=layer)
    # A layer works on tokens as they lie.
    laid = packed.in_layout_order(torch.arange(packed.num_tokens))
    output, weights = packed_attention(
        nn.Identity(),
        query[:, :, laid],
        key[:, :, laid],
        value[:, :, laid],
        None,
        scaling=SCALING,
        call=call,
        dropout=dropout,
    )
    assert weights is None
    assert call.num_layers_done == layer + 1
    return packed.in_callers_order(output, 1)


def attend_slowly(tensors: list[Tensor], layer: int) -> Tensor:
    query, key, value, pool = tensors
    output = torch.zeros(1, query.shape[2], HEADS, SIZE)
    start = 0
    for row in ROWS:
        stop = start + len(row.token_ids)
        for head in range(HEADS):
            keys = torch.cat((pool[layer, 0, list(row.slots), head], key[0, head, start:stop]))
            values = torch.cat((pool[layer, 1, list(row.slots), head], value[0, head, start:stop]))
            scores = query[0, head, start:stop] @ keys.T * SCALING
            output[0, start:stop, head] = scores.softmax(1) @ values
        start = stop
    return output


def test_every_row_sees_its_prefix_and_its_own_tokens_as_explicit_loops_do(
    attention_kernel: str,
) -> None:
    tensors = random_tensors()

    for layer in range(LAYERS):
        torch.testing.assert_close(
            attend(tensors, attention_kernel, layer=layer),
            attend_slowly(tensors, layer),
            atol=1e-6,
            rtol=0,
        )


def test_infinite_numbers_of_one_row_stay_in_that_row(attention_kernel: str) -> None:
    tensors = random_tensors()
    sound = attend(tensors, attention_kernel)
    for tensor in tensors[:3]:
        tensor[0, :, :3] = torch.nan  # the first row's tokens
    tensors[3][:, :, 5] = torch.inf  # the first row's slot, used by no other

    output = attend(tensors, attention_kernel)

    assert output[0, :3].isnan().all()
    torch.testing.assert_close(output[0, 3:], sound[0, 3:], atol=0, rtol=0)


def test_slots_that_no_row_uses_are_never_read(attention_kernel: str) -> None:
    tensors = random_tensors()
    sound = attend(tensors, attention_kernel)
    unused = [slot for slot in range(SLOTS) if all(slot not in row.slots for row in ROWS)]
    tensors[3][:, :, unused] = torch.nan

    torch.testing.assert_close(attend(tensors, attention_kernel), sound, atol=0, rtol=0)


def test_gradients_reach_exactly_the_slots_in_use(attention_kernel: str) -> None:
    tensors = random_tensors()
    pool = tensors[3].requires_grad_()

    torch.autograd.backward(attend(tensors, attention_kernel, layer=0).square().sum())

    assert pool.grad is not None
    used = {slot for row in ROWS for slot in row.slots}
    reached = pool.grad[0].abs().sum((0, 2, 3)) > 0
    assert {int(slot) for slot in reached.nonzero()} == used
    assert pool.grad[1].abs().sum() == 0  # another layer's


def test_gradients_equal_those_of_explicit_loops(attention_kernel: str) -> None:
    fast, slow = random_tensors(), random_tensors()
    for tensor in (*fast, *slow):
        tensor.requires_grad_()

    torch.autograd.backward(attend(fast, attention_kernel).square().sum())
    torch.autograd.backward(attend_slowly(slow, 1).square().sum())

    for mine, theirs in zip(fast, slow, strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, atol=1e-5, rtol=0)


def test_bfloat16_stays_bfloat16_and_near_float32_with_and_without_gradients(
    attention_kernel: str,
) -> None:
    expected = attend(random_tensors(), attention_kernel)
    tensors = random_tensors(torch.bfloat16)
    for with_gradients in (True, False):
        with torch.set_grad_enabled(with_gradients):
            output = attend(tensors, attention_kernel)

        assert output.dtype == torch.bfloat16
        torch.testing.assert_close(output.float(), expected, atol=3e-2, rtol=0)


def test_a_float32_pool_serves_bfloat16_tokens_and_gets_float32_gradients(
    attention_kernel: str,
) -> None:
    tensors = [*random_tensors(torch.bfloat16)[:3], random_tensors()[3].requires_grad_()]

    torch.autograd.backward(attend(tensors, attention_kernel).float().sum())

    gradient = tensors[3].grad
    assert gradient is not None
    assert gradient.dtype == torch.float32
    assert gradient.isfinite().all()
    assert gradient.abs().sum() > 0


def test_dropout_drops_attention_weights() -> None:
    torch.manual_seed(0)
    tensors = random_tensors()

    assert not torch.equal(attend(tensors, dropout=0.5), attend(tensors))
