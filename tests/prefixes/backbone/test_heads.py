"""Heads: every text through its own task's pooling and layers."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from prefixes import HeadSpec
from prefixes.backbone import Head, PackedBatch, Row, head_outputs

HIDDEN = 6
LENGTHS = [3, 1, 4]


def make_batch() -> tuple[PackedBatch, Tensor]:
    generator = torch.Generator().manual_seed(1)
    batch = PackedBatch.pack([Row([0] * n, [0] * n, 0) for n in LENGTHS])
    return batch, torch.randn(sum(LENGTHS), HIDDEN, generator=generator)


def make_head(num_labels: int, pooling: Any = "mean", activation: Any = None) -> Head:
    generator = torch.Generator().manual_seed(num_labels)

    def tensor(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    spec = HeadSpec(pooling=pooling, activation=activation)
    output = tensor(num_labels, HIDDEN), tensor(num_labels)
    if activation is None:
        return Head(spec, *output)
    return Head(spec, *output, tensor(HIDDEN, HIDDEN), tensor(HIDDEN))


def first_of(tokens: Tensor) -> Tensor:
    """Stand in for a backbone's pooler: reads the first of each text's tokens."""
    return torch.tanh(tokens[:, 0] * 3)


def output_layer(head: Head, features: Tensor) -> Tensor:
    assert head.output_weight is not None
    return functional.linear(features, head.output_weight, head.output_bias)


def test_the_mean_is_over_a_texts_own_tokens() -> None:
    batch, hidden = make_batch()
    head = make_head(2)

    logits = head_outputs(hidden, batch, [head] * 3, pooler=None)

    for values, rows in zip(logits, torch.split(hidden, LENGTHS), strict=True):
        expected = output_layer(head, rows.mean(0))
        torch.testing.assert_close(values, expected)


def test_the_first_token_is_each_texts_own() -> None:
    batch, hidden = make_batch()
    head = make_head(2, "first_token")

    logits = head_outputs(hidden, batch, [head] * 3, pooler=None)

    for values, rows in zip(logits, torch.split(hidden, LENGTHS), strict=True):
        expected = output_layer(head, rows[0])
        torch.testing.assert_close(values, expected)


def test_a_pooler_head_reads_the_backbones_pooler() -> None:
    batch, hidden = make_batch()
    head = make_head(2, "pooler")

    logits = head_outputs(hidden, batch, [head] * 3, pooler=first_of)

    for values, rows in zip(logits, torch.split(hidden, LENGTHS), strict=True):
        pooled = torch.tanh(rows[0] * 3)
        expected = output_layer(head, pooled)
        torch.testing.assert_close(values, expected)


@pytest.mark.parametrize(
    ("activation", "function"),
    [("tanh", torch.tanh), ("gelu", functional.gelu), ("relu", functional.relu)],
)
def test_a_dense_layer_comes_before_the_output_with_its_activation(
    activation: str, function: Any
) -> None:
    head = make_head(3, "mean", activation)
    features = torch.randn(2, HIDDEN)
    assert head.dense_weight is not None
    assert head.output_weight is not None

    dense = function(functional.linear(features, head.dense_weight, head.dense_bias))

    expected = functional.linear(dense, head.output_weight, head.output_bias)
    torch.testing.assert_close(head(features), expected)


def test_heads_of_all_kinds_share_a_batch_and_give_what_each_gives_alone() -> None:
    batch, hidden = make_batch()
    heads = [
        make_head(5, "pooler", "gelu"),
        make_head(1, "mean"),
        make_head(77, "first_token", "tanh"),
    ]

    together = head_outputs(hidden, batch, heads, pooler=first_of)

    assert [len(values) for values in together] == [5, 1, 77]
    for index, head in enumerate(heads):
        alone = head_outputs(hidden, batch, [head] * 3, pooler=first_of)[index]
        torch.testing.assert_close(together[index], alone)


def test_a_head_that_serves_several_texts_keeps_their_order() -> None:
    batch, hidden = make_batch()
    shared, other = make_head(2), make_head(2, "first_token")

    mixed = head_outputs(hidden, batch, [shared, other, shared], pooler=None)

    alone = head_outputs(hidden, batch, [shared] * 3, pooler=None)
    torch.testing.assert_close(mixed[0], alone[0])
    torch.testing.assert_close(mixed[2], alone[2])


def test_numbers_that_are_not_finite_stay_with_their_text() -> None:
    batch, hidden = make_batch()
    heads = [make_head(2)] * 3
    sound = head_outputs(hidden, batch, heads, pooler=None)
    hidden[: LENGTHS[0]] = torch.nan

    logits = head_outputs(hidden, batch, heads, pooler=None)

    assert logits[0].isnan().all()
    torch.testing.assert_close(logits[1:], sound[1:])


@pytest.mark.parametrize("pooling", ["mean", "every_token"])
def test_a_head_keeps_its_precision_on_a_backbone_in_bfloat16(pooling: str) -> None:
    batch, hidden = make_batch()
    head = make_head(2, pooling)
    assert head.output_bias is not None
    years = replace(head, output_bias=head.output_bias + 2000)  # eight apart in bfloat16

    exact = head_outputs(hidden, batch, [years] * 3, pooler=None)
    logits = head_outputs(hidden.bfloat16(), batch, [years] * 3, pooler=None)

    assert {values.dtype for values in logits} == {torch.float32}
    torch.testing.assert_close(logits, exact, atol=5e-2, rtol=0)
