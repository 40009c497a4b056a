"""The packed forward pass against the slow specification in `reference.py`."""

from typing import Any

import pytest
import torch
from torch import Tensor

from prefixes import HeadSpec, Prefix
from prefixes.backbone import Backbone, pool_of, run_mixed
from prefixes.backbone.resident import stacked_slots
from tests.factories import encode_each, make_prefix
from tests.parity import reference

TEXTS = ["a good film !", "hello", "where is my late train and who lost the money , " * 4]


def text_of(backbone: Backbone, prefix: Prefix, text: str) -> reference.Text:
    (encoded,) = encode_each(backbone, prefix.spec, [{"text": text}])
    row = backbone.row(encoded, position_offset=prefix.spec.position_offset)
    return reference.Text(row.token_ids, row.token_type_ids, row.first_position)


def past_of(prefix: Prefix) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(prefix.tensors["prefix.keys"]), torch.from_numpy(
        prefix.tensors["prefix.values"]
    )


@pytest.mark.parametrize("prefix_length", [1, 8, 128])
@pytest.mark.parametrize("shifts", [True, False])
def test_hidden_states_after_a_prefix_equal_the_specification(
    parity_backbone: Backbone, prefix_length: int, *, shifts: bool
) -> None:
    prefix = make_prefix(
        parity_backbone.fingerprint,
        prefix_length=prefix_length,
        position_offset=prefix_length if shifts else 0,
    )
    pool, (resident,) = pool_of(parity_backbone, [prefix])
    encoded = encode_each(parity_backbone, prefix.spec, [{"text": text} for text in TEXTS])
    packed = parity_backbone.pack(
        [
            parity_backbone.row(
                text, position_offset=prefix.spec.position_offset, slots=resident.slots
            )
            for text in encoded
        ]
    )

    hidden = parity_backbone(packed, pool)

    expected = [
        reference.hidden_states(
            parity_backbone, text_of(parity_backbone, prefix, text), past_of(prefix)
        )
        for text in TEXTS
    ]
    torch.testing.assert_close(hidden.double(), torch.cat(expected), atol=1e-5, rtol=0)


def test_hidden_states_without_a_prefix_equal_the_specification(
    parity_backbone: Backbone,
) -> None:
    prefix = make_prefix(parity_backbone.fingerprint, position_offset=0)
    encoded = encode_each(parity_backbone, prefix.spec, [{"text": text} for text in TEXTS])
    packed = parity_backbone.pack([parity_backbone.row(text) for text in encoded])

    hidden = parity_backbone(packed, parity_backbone.empty_pool(1))

    expected = [
        reference.hidden_states(parity_backbone, text_of(parity_backbone, prefix, text))
        for text in TEXTS
    ]
    torch.testing.assert_close(hidden.double(), torch.cat(expected), atol=1e-5, rtol=0)


@pytest.mark.parametrize("pooling", ["mean", "first_token", "pooler"])
@pytest.mark.parametrize("activation", [None, "tanh", "gelu", "relu"])
def test_logits_of_every_head_equal_the_specification(
    parity_backbone: Backbone, pooling: Any, activation: Any
) -> None:
    prefix = make_prefix(
        parity_backbone.fingerprint,
        labels=("a", "b", "c", "d", "e"),
        head=HeadSpec(pooling=pooling, activation=activation),
    )
    pool, (resident,) = pool_of(parity_backbone, [prefix])
    (encoded,) = encode_each(parity_backbone, prefix.spec, [{"text": TEXTS[0]}])

    (logits,) = run_mixed(parity_backbone, pool, [(encoded, resident)])

    text = text_of(parity_backbone, prefix, TEXTS[0])
    hidden = reference.hidden_states(parity_backbone, text, past_of(prefix))
    expected = reference.logits(parity_backbone, resident.head, hidden)
    torch.testing.assert_close(logits.double(), expected, atol=1e-5, rtol=0)


def test_gradients_of_a_prefix_equal_those_of_the_specification(
    parity_backbone: Backbone,
) -> None:
    prefix = make_prefix(parity_backbone.fingerprint, prefix_length=8)
    offset = prefix.spec.position_offset
    encoded = encode_each(parity_backbone, prefix.spec, [{"text": text} for text in TEXTS])
    slots = tuple(range(8))
    rows = [parity_backbone.row(text, position_offset=offset, slots=slots) for text in encoded]
    pool = stacked_slots(prefix).requires_grad_()
    past = tuple(part.requires_grad_() for part in past_of(prefix))

    fast = parity_backbone(parity_backbone.pack(rows), pool)
    slow = torch.cat(
        [
            reference.hidden_states(
                parity_backbone, text_of(parity_backbone, prefix, text), (past[0], past[1])
            )
            for text in TEXTS
        ]
    )
    weights = torch.randn(fast.shape, generator=torch.Generator().manual_seed(0))
    torch.autograd.backward((fast * weights).sum())
    torch.autograd.backward((slow * weights).sum())

    assert pool.grad is not None
    mine = pool.grad.transpose(2, 3)  # (L, 2, P, H, D) -> (L, 2, H, P, D)
    for kind, part in enumerate(past):
        assert part.grad is not None
        scale = float(part.grad.abs().max())
        torch.testing.assert_close(mine[:, kind], part.grad, atol=1e-5 * scale, rtol=0)
