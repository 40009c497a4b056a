"""The learner: its layout, its beginning, and what folding makes of it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from prefixes import HeadSpec
from prefixes.backbone import Backbone, PackedBatch, head_outputs
from tests.factories import make_spec
from tests.training.learnable_tasks import make_config, sentiment_rows, start, write_jsonl
from training.learning.evaluate import outputs_of
from training.learning.learner import PrefixLearner
from training.learning.random_numbers import dropout_factors, generator_for


def make_learner(backbone: Backbone, *, projection_size: int | None = None) -> PrefixLearner:
    spec = make_spec(
        backbone.fingerprint, head=HeadSpec(pooling="mean", activation="tanh"), prefix_length=6
    )
    return PrefixLearner(spec, initializer_range=0.5, projection_size=projection_size, seed=3)


def test_keys_and_values_lie_in_the_flat_table_as_in_p_tuning_v2(backbone: Backbone) -> None:
    learner = make_learner(backbone)
    facts = backbone.fingerprint
    heads, size = facts.num_heads, facts.head_size
    kv = learner.prefix_tensor()  # (L, 2, P, H, D)
    for layer, which, slot, head, d in [(0, 0, 0, 0, 0), (1, 0, 5, 3, 2), (1, 1, 2, 1, 7)]:
        column = ((2 * layer + which) * heads + head) * size + d
        assert kv[layer, which, slot, head, d] == learner.table[slot, column]


@pytest.mark.parametrize(
    "projection_size", [pytest.param(None, id="table"), pytest.param(8, id="mlp")]
)
def test_the_folded_prefix_gives_the_logits_of_the_learner(
    backbone: Backbone, projection_size: int | None
) -> None:
    learner = make_learner(backbone, projection_size=projection_size)
    prefix = learner.fold()
    inputs = [{"text": "the film is good"}, {"text": "bad plot"}]
    encoded = backbone.texts.encode(prefix.spec, inputs)
    folded = np.concatenate(outputs_of(backbone, prefix, encoded, tokens_per_batch=64))
    texts = [text for (text,) in encoded]
    rows = [backbone.row(text, position_offset=6, slots=tuple(range(6))) for text in texts]
    batch = PackedBatch.pack(rows)
    head = learner.head()
    with torch.no_grad():
        hidden = backbone(batch, learner.prefix_tensor())
        unfolded = head_outputs(hidden, batch, [head, head], pooler=None)
    np.testing.assert_allclose(folded, torch.stack(unfolded).numpy(), atol=1e-6)


def test_folding_puts_a_regression_back_on_its_own_scale(backbone: Backbone) -> None:
    learner = make_learner(backbone)
    texts = backbone.texts.encode(learner.spec, [{"text": "the film is good"}])
    plain, scaled = (
        np.concatenate(outputs_of(backbone, prefix, texts, tokens_per_batch=64))
        for prefix in (learner.fold(), learner.fold(center=50.0, spread=7.0))
    )
    np.testing.assert_allclose(scaled, plain * 7 + 50, rtol=1e-5)


def test_weights_begin_with_the_spread_of_the_backbone_and_biases_with_zero(
    backbone: Backbone, tmp_path: Path
) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(20))
    learner = start(backbone, make_config(path, prefix_length=64, projection_size=64)).learner
    expected = backbone.model.config.initializer_range
    for name, parameter in learner.named_parameters():
        if parameter.ndim == 1:
            assert not parameter.any(), name
        else:
            assert float(parameter.detach().std()) == pytest.approx(expected, rel=0.2), name


def test_a_prefix_begins_as_keys_and_values_of_training_tokens(
    backbone: Backbone, tmp_path: Path
) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(20))
    config = make_config(path, prefix_length=8, initialization="activations")
    run = start(backbone, config)
    noise = start(backbone, config.model_copy(update={"initialization": "noise"}))
    batch = PackedBatch.pack([backbone.row(piece.texts[0]) for piece in run.pieces])
    tokens = backbone.keys_and_values(batch)  # (L, 2, T, H, D)
    begun = (run.learner.prefix_tensor() - noise.learner.prefix_tensor()).detach()
    for slot in range(8):
        distances = (tokens - begun[:, :, slot : slot + 1]).abs().amax((0, 1, 3, 4))
        assert float(distances.min()) < 1e-4


def test_more_slots_than_tokens_begin_as_slots_that_differ(
    backbone: Backbone, tmp_path: Path
) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(12))
    config = make_config(path, prefix_length=200, initialization="activations")
    learner = start(backbone, config).learner
    assert len(torch.unique(learner.table.detach(), dim=0)) == 200


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(backbone: Backbone) -> None:
    one, same = make_learner(backbone), make_learner(backbone)
    other = PrefixLearner(one.spec, initializer_range=0.5, seed=4)
    assert torch.equal(one.table, same.table)
    assert not torch.equal(one.table, other.table)


def test_dropout_leaves_the_expected_features_and_a_folded_head_drops_nothing(
    backbone: Backbone,
) -> None:
    learner = make_learner(backbone)
    features = torch.ones(400, backbone.fingerprint.hidden_size)
    factors = dropout_factors(features.shape, 0.5, generator_for(0, "x"))
    steady, noisy = learner.head(), learner.head(factors)
    with torch.no_grad():
        assert (steady(features) == steady(features)[0]).all()
        assert not (noisy(features) == noisy(features)[0]).all()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        pytest.param({"max_length": 400}, "max_length 400 does not fit", id="length"),
        pytest.param({"prefix_length": 319, "max_length": None}, "greater than", id="no-room"),
    ],
)
def test_a_task_that_does_not_fit_the_backbone_is_refused(
    backbone: Backbone, tmp_path: Path, changes: dict[str, int | None], complaint: str
) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(20))
    with pytest.raises(ValidationError, match=complaint):
        start(backbone, make_config(path, **changes))
