"""The backbone: a text gets the same result in a mixed batch as alone."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from prefixes import HeadSpec, Prefix
from prefixes.backbone import (
    Backbone,
    EncodedText,
    Head,
    head_outputs,
    load_backbone,
    pool_of,
    run_mixed,
)
from tests.factories import encode_each, make_prefix, make_spec, with_tensors

SLOTS = 160


@dataclass(frozen=True)
class Request:
    """One text with a task of its own: `num_slots` 0 means no prefix at all."""

    seed: int
    num_tokens: int
    num_slots: int
    num_labels: int
    pooling: Any = "mean"
    activation: Any = None
    shifts: bool = True


requests = st.builds(
    Request,
    seed=st.integers(0, 5),
    num_tokens=st.integers(1, 60),
    num_slots=st.sampled_from([0, 1, 8, 128]),
    num_labels=st.sampled_from([1, 2, 5, 77]),
    pooling=st.sampled_from(["mean", "first_token", "pooler"]),
    activation=st.sampled_from([None, "tanh", "gelu", "relu"]),
    shifts=st.booleans(),
)
MIXED = [
    Request(0, 12, 8, 2),
    Request(1, 3, 0, 5, "first_token"),
    Request(2, 40, 128, 77, "pooler", "tanh"),
    Request(3, 12, 1, 1, "mean", "gelu"),
    Request(4, 10, 8, 2, "first_token", "relu"),
]


def make_pool(backbone: Backbone, *, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    pool = backbone.empty_pool(SLOTS)
    return torch.randn(pool.shape, generator=generator).to(pool)


def text_of(request: Request) -> EncodedText:
    generator = torch.Generator().manual_seed(request.seed)
    token_ids = torch.randint(5, 95, (request.num_tokens,), generator=generator).tolist()
    return EncodedText(token_ids, [0] * len(token_ids))


def slots_of(request: Request) -> tuple[int, ...]:
    generator = torch.Generator().manual_seed(request.seed)
    chosen: list[int] = torch.randperm(SLOTS, generator=generator)[: request.num_slots].tolist()
    return tuple(chosen)


def head_of(request: Request, backbone: Backbone) -> Head:
    generator = torch.Generator().manual_seed(request.seed)
    hidden = backbone.fingerprint.hidden_size

    def tensor(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator) / math.sqrt(shape[-1])

    spec = HeadSpec(pooling=request.pooling, activation=request.activation)
    output = tensor(request.num_labels, hidden), tensor(request.num_labels)
    if request.activation is None:
        return Head(spec, *output)
    return Head(spec, *output, tensor(hidden, hidden), tensor(hidden))


@torch.no_grad()
def run(backbone: Backbone, batch: list[Request], pool: Tensor) -> list[Tensor]:
    rows = [
        backbone.row(
            text_of(request),
            position_offset=request.num_slots if request.shifts else 0,
            slots=slots_of(request),
        )
        for request in batch
    ]
    packed = backbone.pack(rows)
    heads = [head_of(request, backbone) for request in batch]
    return head_outputs(backbone(packed, pool), packed, heads, pooler=backbone.pooler)


def largest_difference(some: list[Tensor], others: list[Tensor]) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(some, others, strict=True))


@given(batch=st.lists(requests, min_size=1, max_size=10))
@settings(max_examples=40)
def test_a_mixed_batch_gives_every_text_what_it_gets_alone(
    each_backbone: Backbone, batch: list[Request]
) -> None:
    pool = make_pool(each_backbone)

    together = run(each_backbone, batch, pool)

    assert [len(values) for values in together] == [request.num_labels for request in batch]
    alone = [run(each_backbone, [request], pool)[0] for request in batch]
    assert largest_difference(together, alone) < 1e-5


@given(order=st.permutations(range(len(MIXED))))
@settings(max_examples=15)
def test_the_order_of_a_batch_does_not_matter(each_backbone: Backbone, order: list[int]) -> None:
    pool = make_pool(each_backbone)
    expected = run(each_backbone, MIXED, pool)

    shuffled = run(each_backbone, [MIXED[i] for i in order], pool)

    assert largest_difference(shuffled, [expected[i] for i in order]) < 1e-5


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"seed": 99}, id="text-and-prefix"),
        pytest.param({"num_tokens": 200}, id="longer"),
        pytest.param({"num_tokens": 1}, id="shorter"),
        pytest.param({"num_slots": 0}, id="no-prefix"),
        pytest.param({"num_slots": 128}, id="long-prefix"),
    ],
)
def test_a_row_never_sees_its_neighbor(each_backbone: Backbone, change: dict[str, int]) -> None:
    pool = make_pool(each_backbone)
    before = run(each_backbone, MIXED, pool)

    after = run(each_backbone, [replace(MIXED[0], **change), *MIXED[1:]], pool)  # type: ignore[arg-type]

    assert largest_difference(before[1:], after[1:]) < 1e-6
    assert not torch.allclose(before[0], after[0], atol=1e-3)


def test_a_prefix_that_overflows_hurts_nobody_but_its_own_task(each_backbone: Backbone) -> None:
    poison, *others = (
        Request(9, 5, 8, 2),
        Request(3, 7, 8, 3),
        Request(4, 3, 6, 3),
        Request(5, 8, 0, 2),
        Request(6, 5, 0, 2),
    )
    pool = make_pool(each_backbone)
    mine = set(slots_of(poison)) - {slot for other in others for slot in slots_of(other)}
    sound = run(each_backbone, [poison, *others], pool)
    pool[:, :, list(mine)] = 3e38  # finite in the file, infinite once multiplied

    logits = run(each_backbone, [poison, *others], pool)

    assert not logits[0].isfinite().all()
    assert largest_difference(logits[1:], sound[1:]) < 1e-6


def test_a_prefix_of_zeros_is_not_the_same_as_no_prefix(each_backbone: Backbone) -> None:
    request = Request(1, 10, 8, 3, shifts=False)
    zeros = torch.zeros_like(make_pool(each_backbone))

    (with_zeros,) = run(each_backbone, [request], zeros)
    (without,) = run(each_backbone, [replace(request, num_slots=0)], zeros)

    assert not torch.allclose(with_zeros, without, atol=1e-3)


def test_a_text_without_prefix_reads_nothing_of_the_pool(each_backbone: Backbone) -> None:
    request = Request(1, 10, 0, 3)

    (one,) = run(each_backbone, [request], make_pool(each_backbone, seed=1))
    (other,) = run(each_backbone, [request], make_pool(each_backbone, seed=2))

    assert torch.equal(one, other)


def test_the_order_of_a_prefixs_slots_does_not_change_what_a_text_sees(
    each_backbone: Backbone,
) -> None:
    pool = make_pool(each_backbone)
    text = text_of(MIXED[0])
    hidden = [
        each_backbone(each_backbone.pack([each_backbone.row(text, slots=slots)]), pool)
        for slots in ((3, 1, 2), (1, 2, 3))
    ]

    torch.testing.assert_close(hidden[0], hidden[1], atol=1e-5, rtol=0)


def test_the_offset_shifts_the_positions_of_a_text(each_backbone: Backbone) -> None:
    row = each_backbone.row(text_of(MIXED[0]), position_offset=8)
    without = each_backbone.row(text_of(MIXED[0]))

    padding = 2 if each_backbone.fingerprint.model_type == "roberta" else 0
    assert (without.first_position, row.first_position) == (padding, padding + 8)


@pytest.mark.parametrize("prefix_length", [1, 128])
def test_a_text_may_use_the_last_position_and_is_refused_beyond_it(
    each_backbone: Backbone, prefix_length: int
) -> None:
    facts = each_backbone.fingerprint
    room = facts.max_positions - prefix_length
    prefix = make_prefix(facts, prefix_length=prefix_length, max_length=room)
    pool, (resident,) = pool_of(each_backbone, [prefix])
    (text,) = encode_each(each_backbone, prefix.spec, [{"text": "a " * 500}])
    assert len(text.token_ids) == room

    (logits,) = run_mixed(each_backbone, pool, [(text, resident)])

    assert logits.isfinite().all()
    with pytest.raises(ValidationError, match=f"which leaves {room}"):
        make_spec(facts, prefix_length=prefix_length, max_length=room + 1)


def test_classify_gives_every_text_the_logits_of_its_own_task(each_backbone: Backbone) -> None:
    facts = each_backbone.fingerprint
    prefixes = [
        make_prefix(facts, seed=1),
        make_prefix(facts, seed=2, prefix_length=16, labels=("a", "b", "c")),
        make_prefix(facts, seed=3, head=HeadSpec(pooling="pooler", activation="tanh")),
    ]
    pool, residents = pool_of(each_backbone, prefixes)
    texts = ["a good film", "where is the river ?", "call now and win"]
    work = [
        (encode_each(each_backbone, resident.spec, [{"text": text}])[0], resident)
        for text in texts
        for resident in residents
    ]

    together = run_mixed(each_backbone, pool, work)

    for (encoded, resident), logits in zip(work, together, strict=True):
        prefix = prefixes[residents.index(resident)]
        own_pool, (alone,) = pool_of(each_backbone, [prefix])
        (expected,) = run_mixed(each_backbone, own_pool, [(encoded, alone)])
        assert len(logits) == prefix.spec.num_labels
        torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)


def test_a_half_precision_prefix_is_served_like_the_same_in_float32(backbone: Backbone) -> None:
    prefix = make_prefix(backbone.fingerprint)
    small = Prefix(prefix.spec, {name: x.astype("f2") for name, x in prefix.tensors.items()})
    same = Prefix(prefix.spec, {name: x.astype("f4") for name, x in small.tensors.items()})
    (text,) = encode_each(backbone, prefix.spec, [{"text": "a good film"}])

    logits = []
    for variant in (small, same):
        pool, (resident,) = pool_of(backbone, [Prefix.from_bytes(variant.to_bytes())])
        logits += run_mixed(backbone, pool, [(text, resident)])

    assert torch.equal(logits[0], logits[1])


@pytest.mark.parametrize("architecture", ["bert", "roberta"])
def test_bfloat16_runs_and_is_near_float32(
    architecture: str, request: pytest.FixtureRequest
) -> None:
    exact = request.getfixturevalue("backbone" if architecture == "bert" else "roberta")
    folder = request.getfixturevalue(
        "backbone_folder" if architecture == "bert" else "roberta_folder"
    )
    small = load_backbone(folder, device="cpu", dtype="bfloat16")

    expected = run(exact, MIXED, make_pool(exact))
    logits = run(small, MIXED, make_pool(small))

    assert {values.dtype for values in logits} == {torch.float32}
    scale = max(float(values.abs().max()) for values in expected)
    assert largest_difference(logits, expected) < 0.05 * scale
    assert largest_difference(logits, expected) > 0


def test_a_regression_is_as_fine_in_bfloat16_as_its_head_is(backbone_folder: Path) -> None:
    small = load_backbone(backbone_folder, device="cpu", dtype="bfloat16")
    prefix = make_prefix(small.fingerprint, problem_type="regression", labels=("year",))
    years = with_tensors(prefix, {"head.output.bias": np.array([2000.3], np.float32)})
    pool, residents = pool_of(small, [prefix, years])
    (text,) = encode_each(small, prefix.spec, [{"text": "a good film"}])

    without, year = run_mixed(small, pool, [(text, resident) for resident in residents])

    assert float(year - without) == pytest.approx(2000.3 - prefix.tensors["head.output.bias"][0])


def test_gradients_flow_to_the_pool_and_never_into_the_backbone(each_backbone: Backbone) -> None:
    pool = make_pool(each_backbone).requires_grad_()
    row = each_backbone.row(text_of(MIXED[0]), position_offset=2, slots=(4, 7))

    torch.autograd.backward(each_backbone(each_backbone.pack([row]), pool).square().sum())

    assert pool.grad is not None
    reached = pool.grad.abs().sum((0, 1, 3, 4)) > 0
    assert [int(slot) for slot in reached.nonzero()] == [4, 7]
    assert all(not parameter.requires_grad for parameter in each_backbone.model.parameters())
    assert not each_backbone.model.training


def test_keys_and_values_of_a_batch_are_those_that_attention_would_use(backbone: Backbone) -> None:
    text = EncodedText([5, 6, 7, 8], [0, 0, 0, 0])
    whole = backbone.pack([backbone.row(text)])
    recorded = backbone.keys_and_values(whole)  # (L, 2, T, H, D)
    facts = backbone.fingerprint
    assert recorded.shape == (facts.num_layers, 2, 4, facts.num_heads, facts.head_size)
    # The last token alone, with the first three tokens' activations as its prefix, sees what it
    # sees in the whole text.
    last = EncodedText([8], [0])
    row = backbone.row(last, position_offset=3, slots=(0, 1, 2))
    with torch.inference_mode():
        expected = backbone(whole, backbone.empty_pool(1))[-1]
        found = backbone(backbone.pack([row]), recorded[:, :, :3].contiguous())[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
