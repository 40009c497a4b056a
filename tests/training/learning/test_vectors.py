"""Vectors of the norms: where they begin, what a file of them holds, and what it takes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from prefixes import Prefix
from prefixes.backbone import Backbone, pool_of, run_mixed
from prefixes.backbone.resident import stacked_slots
from tests.training.learnable_tasks import (
    make_config,
    sentiment_rows,
    start,
    train_all,
    write_jsonl,
)
from training.learning.run import Run


def vectors_run(backbone: Backbone, folder: Path, *, rank: int = 0) -> Run:
    path = write_jsonl(folder / "rows.jsonl", sentiment_rows(24))
    config = make_config(path, method="vectors", prefix_length=0, rank=rank, max_steps=3)
    return start(backbone, config)


@pytest.mark.parametrize("rank", [0, 3])
def test_vectors_begin_as_norms_of_the_backbone(
    backbone: Backbone, tmp_path: Path, rank: int
) -> None:
    run = vectors_run(backbone, tmp_path, rank=rank)
    begun = run.learner.fold()
    zeros = {name for name, x in begun.tensors.items() if name.startswith("norms.") and not x.any()}
    assert zeros == {"norms.scales", "norms.shifts"} | ({"norms.up"} if rank else set())
    head = run.spec.model_copy(update={"method": "head", "rank": 0})
    bare = Prefix(head, {name: x for name, x in begun.tensors.items() if name.startswith("head.")})
    text = run.pieces[0].texts[0]
    pool, (with_vectors, without) = pool_of(backbone, [begun, bare])
    one, other = run_mixed(backbone, pool, [(text, with_vectors), (text, without)])
    torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


@pytest.mark.parametrize("rank", [0, 3])
def test_a_file_of_vectors_holds_those_of_two_norms_of_each_layer(
    backbone: Backbone, tmp_path: Path, rank: int
) -> None:
    run = vectors_run(backbone, tmp_path, rank=rank)
    train_all(backbone, [run])
    assert run.best_prefix is not None
    again = Prefix.from_bytes(run.best_prefix.to_bytes(), fits=[backbone.fingerprint])
    facts = backbone.fingerprint
    for name in ("norms.scales", "norms.shifts"):
        assert again.tensors[name].shape == (facts.num_layers, 2, facts.hidden_size)
        assert (np.abs(again.tensors[name]).max((1, 2)) > 0).all()  # every layer learned
    assert "prefix.keys" not in again.tensors
    assert again.spec.num_slots == 2 * (1 + rank)
    assert again.spec.rank == rank
    for name in ("norms.down", "norms.up") if rank else ():
        assert again.tensors[name].shape == (facts.num_layers, 2, rank, facts.hidden_size)
        assert (np.abs(again.tensors[name]).max((2, 3)) > 0).all()


def test_a_norm_gets_the_scales_and_shifts_that_its_layer_has_in_the_file(
    backbone: Backbone, tmp_path: Path
) -> None:
    """The last norm determines the hidden states that a mean of tokens reads."""
    run = vectors_run(backbone, tmp_path)
    begun = run.learner.fold()
    scales, shifts = (begun.tensors[name].copy() for name in ("norms.scales", "norms.shifts"))
    scales[-1, 1], shifts[-1, 1] = -1.0, 0.5
    changed = Prefix(begun.spec, {**begun.tensors, "norms.scales": scales, "norms.shifts": shifts})
    pool, (resident,) = pool_of(backbone, [changed])
    (outputs,) = run_mixed(backbone, pool, [(run.pieces[0].texts[0], resident)])
    weight, bias = begun.tensors["head.output.weight"], begun.tensors["head.output.bias"]
    np.testing.assert_allclose(outputs.numpy(), 0.5 * weight.sum(1) + bias, atol=1e-5)


def test_a_file_of_a_rank_computes_what_was_trained(backbone: Backbone, tmp_path: Path) -> None:
    """Rows have factors in training, and none in the file."""
    run = vectors_run(backbone, tmp_path, rank=3)
    root = backbone.fingerprint.hidden_size**0.5
    assert run.learner.fold().tensors["norms.down"].std() == pytest.approx(1 / root, rel=0.2)
    with torch.no_grad():
        run.learner.table.normal_()
    prefix = run.learner.fold()
    spreads = {name.removeprefix("norms."): x.std() for name, x in prefix.tensors.items()}
    assert spreads["scales"] == pytest.approx(1, rel=0.2)
    assert spreads["up"] == pytest.approx(0.5, rel=0.2)
    assert spreads["down"] == pytest.approx(0.5 / root, rel=0.2)
    torch.testing.assert_close(stacked_slots(prefix), run.learner.prefix_tensor())
