"""Projected features of rejection rules: next to the logits, and only for tasks that have one."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from prefixes import Prefix
from prefixes.answers import split_outputs
from prefixes.backbone import Backbone, MixedBatch, pool_of, run_mixed
from tests.factories import encode_each, make_prefix, with_rejection

TEXTS = ("a good film", "the late train", "my card", "hello city")


def outputs_of(backbone: Backbone, prefixes: Sequence[Prefix]) -> list[torch.Tensor]:
    """Run the texts with one prefix each, as one batch, and return all outputs of the device."""
    pool, residents = pool_of(backbone, prefixes)
    texts = [
        encode_each(backbone, prefix.spec, [{"text": text}])[0]
        for prefix, text in zip(prefixes, TEXTS, strict=True)
    ]
    batch = MixedBatch.pack(backbone, list(zip(texts, residents, strict=True)))
    return batch.outputs(backbone, pool)


@pytest.mark.parametrize("activation", [None, "tanh"])
def test_features_are_projected_as_the_output_layer_reads_them(
    backbone: Backbone, activation: str | None
) -> None:
    head = {"pooling": "mean", "activation": activation}
    plain = make_prefix(backbone.fingerprint, head=head)
    pool, (resident,) = pool_of(backbone, [with_rejection(plain)])
    (text,) = encode_each(backbone, plain.spec, [{"text": TEXTS[0]}])
    (outputs,) = MixedBatch.pack(backbone, [(text, resident)]).outputs(backbone, pool)
    logits, projected = split_outputs(outputs, resident.head.num_projected)
    assert projected is not None
    # The identity as output layer shows the features themselves.
    hidden = backbone.fingerprint.hidden_size
    tensors = {
        **plain.tensors,
        "head.output.weight": np.eye(hidden, dtype=np.float32),
        "head.output.bias": np.zeros(hidden, np.float32),
    }
    labels = tuple(map(str, range(hidden)))
    shown = Prefix(plain.spec.model_copy(update={"labels": labels}), tensors)
    pool, (bare,) = pool_of(backbone, [shown])
    (features,) = run_mixed(backbone, pool, [(text, bare)])
    rule = resident.spec.rejection
    assert rule is not None
    assert rule.projection is not None
    expected = features.numpy() @ rule.projection.matrix
    np.testing.assert_allclose(projected.numpy(), expected, atol=1e-5, rtol=1e-5)
    weight, bias = (plain.tensors[f"head.output.{part}"] for part in ("weight", "bias"))
    np.testing.assert_allclose(logits.numpy(), weight @ features.numpy() + bias, atol=1e-5)


def test_other_tasks_of_the_batch_get_the_same_bits(backbone: Backbone) -> None:
    plain = [make_prefix(backbone.fingerprint, seed=seed) for seed in range(4)]
    without = outputs_of(backbone, plain)
    mixed = outputs_of(
        backbone,
        [plain[0], with_rejection(plain[1]), plain[2], with_rejection(plain[3], dimensions=9)],
    )
    for place in (0, 2):
        assert torch.equal(mixed[place], without[place])
    for place, dimensions in ((1, 5), (3, 9)):
        assert len(mixed[place]) == len(without[place]) + dimensions
        torch.testing.assert_close(mixed[place][:-dimensions], without[place], atol=1e-6, rtol=1e-6)


def test_projected_features_equal_those_alone(each_backbone: Backbone) -> None:
    fingerprint = each_backbone.fingerprint
    prefixes = [
        with_rejection(make_prefix(fingerprint, seed=seed), dimensions=3 + seed)
        for seed in range(4)
    ]
    together = outputs_of(each_backbone, prefixes)
    for prefix, text, found in zip(prefixes, TEXTS, together, strict=True):
        pool, (resident,) = pool_of(each_backbone, [prefix])
        (encoded,) = encode_each(each_backbone, prefix.spec, [{"text": text}])
        (alone,) = MixedBatch.pack(each_backbone, [(encoded, resident)]).outputs(
            each_backbone, pool
        )
        torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-5)


def test_run_mixed_returns_the_logits_alone(backbone: Backbone) -> None:
    prefix = with_rejection(make_prefix(backbone.fingerprint))
    pool, (resident,) = pool_of(backbone, [prefix])
    (text,) = encode_each(backbone, prefix.spec, [{"text": TEXTS[0]}])
    (logits,) = run_mixed(backbone, pool, [(text, resident)])
    assert logits.shape == (prefix.spec.num_labels,)


def test_a_file_with_a_rule_reads_back(backbone: Backbone) -> None:
    prefix = with_rejection(make_prefix(backbone.fingerprint))
    data = prefix.to_bytes()
    assert Prefix.from_bytes(data, fits=[backbone.fingerprint]).spec == prefix.spec
    assert Prefix.from_bytes(data).to_bytes() == data
