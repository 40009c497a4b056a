"""The way on CUDA, with a stand-in for its kernel: the same numbers as groups of padded texts."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from prefixes.backbone import Backbone, EncodedText, PackedBatch, Row, load_backbone
from prefixes.backbone.attention import PrefixedCall
from prefixes.backbone.varlen import VarlenPlan
from tests.factories import make_backbone_folder

LENGTHS = (12, 3, 45, 1, 7)
SLOTS: tuple[tuple[int, ...], ...] = ((3, 1), (), tuple(range(4, 20)), (0,), ())


def one_by_one(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_queries: Tensor,
    cu_keys: Tensor,
    max_queries: int,
    max_keys: int,
    *,
    scale: float,
    enable_gqa: bool,
) -> Tensor:
    """A reference for `varlen_attn` that runs request by request on any device."""
    assert cu_queries.dtype == cu_keys.dtype == torch.int32
    bounds = zip(*(cu.unfold(0, 2, 1).tolist() for cu in (cu_queries, cu_keys)), strict=True)
    outputs = []
    for (q_start, q_stop), (k_start, k_stop) in bounds:
        assert q_stop - q_start <= max_queries
        assert k_stop - k_start <= max_keys
        q, k, v = query[q_start:q_stop], key[k_start:k_stop], value[k_start:k_stop]
        if enable_gqa:
            k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
        weights = (torch.einsum("shd,thd->hst", q, k) * scale).softmax(-1)
        outputs.append(torch.einsum("hst,thd->shd", weights, v))
    return torch.cat(outputs)


def rows() -> list[Row]:
    return [Row([5] * n, [0] * n, 0, own) for n, own in zip(LENGTHS, SLOTS, strict=True)]


def with_plan(packed: PackedBatch) -> PackedBatch:
    assert packed.restore is not None
    order = packed.restore[packed.cu_tokens[:-1]].argsort().tolist()  # as the rows lie
    lengths, slots = [LENGTHS[i] for i in order], [SLOTS[i] for i in order]
    return replace(packed, varlen=VarlenPlan.of(lengths, slots, "cpu", one_by_one))


@pytest.mark.parametrize("num_key_heads", [4, 2])
def test_one_kernel_over_all_texts_gives_what_groups_of_them_give(num_key_heads: int) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (
        torch.randn(sum(LENGTHS), heads, 8, generator=generator).bfloat16()
        for heads in (4, num_key_heads, num_key_heads)
    )
    pool = torch.randn(2, 2, 20, num_key_heads, 8, generator=generator)
    packed = PackedBatch.pack(rows())

    found = PrefixedCall(with_plan(packed), pool).attend(q, k, v, scaling=0.5)

    expected = PrefixedCall(packed, pool).attend(q, k, v, scaling=0.5)
    assert not torch.equal(found, expected)  # it went another way
    torch.testing.assert_close(found.float(), expected.float(), atol=3e-2, rtol=0)


@pytest.mark.parametrize("kind", ["float32", "window", "distances", "dropout"])
def test_what_the_kernel_cannot_do_goes_by_groups(kind: str) -> None:
    def never(*_: Any, **__: Any) -> Tensor:
        pytest.fail("the kernel has no such thing")

    dtype = torch.float32 if kind == "float32" else torch.bfloat16
    q = torch.randn(sum(LENGTHS), 4, 8).to(dtype)
    packed = replace(PackedBatch.pack(rows()), varlen=VarlenPlan.of(LENGTHS, SLOTS, "cpu", never))
    kinds: dict[str, dict[str, Any]] = {
        "float32": {},
        "window": {"window": 9},
        "distances": {"relative_scores": lambda q, _: q.new_zeros(1, 4, q.shape[1], q.shape[1])},
        "dropout": {"dropout": 0.5},
    }

    attended = PrefixedCall(packed, torch.zeros(1, 2, 20, 4, 8)).attend(
        q, q, q, scaling=0.5, **kinds[kind]
    )

    assert attended.isfinite().all()


def test_gradients_reach_the_slots_in_use_and_no_others() -> None:
    q = torch.randn(sum(LENGTHS), 4, 8).bfloat16()
    pool = torch.randn(1, 2, 22, 4, 8, requires_grad=True)

    attended = PrefixedCall(with_plan(PackedBatch.pack(rows())), pool).attend(q, q, q, scaling=0.5)
    torch.autograd.backward(attended.float().square().sum())

    assert pool.grad is not None
    reached = pool.grad.abs().sum((0, 1, 3, 4)) > 0
    assert {int(slot) for slot in reached.nonzero()} == {slot for own in SLOTS for slot in own}


@pytest.fixture(scope="module", params=["bert", "eurobert", "modernbert"])
def half(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    folder = make_backbone_folder(tmp_path_factory.mktemp("half") / "model", request.param)
    return load_backbone(folder, device="cpu", dtype="bfloat16")


def test_a_whole_model_runs_either_way(half: Backbone) -> None:
    pool = torch.randn(
        half.empty_pool(20).shape, generator=torch.Generator().manual_seed(1)
    ).bfloat16()
    texts = [EncodedText([7 + i % 40 for i in range(n)], [0] * n) for n in LENGTHS]
    packed = PackedBatch.pack(
        [half.row(text, slots=own) for text, own in zip(texts, SLOTS, strict=True)]
    )

    with torch.no_grad():
        found, expected = half(with_plan(packed), pool), half(packed, pool)

    difference = (found - expected).float().norm() / expected.float().norm()
    assert difference < 2e-2
