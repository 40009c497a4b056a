"""Dropout in the backbone: what a row loses, and that this depends on the row alone."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from prefixes.backbone import Backbone, Row, RowDropout, load_backbone
from prefixes.backbone.architecture import ARCHITECTURES
from prefixes.encoded import EncodedText
from tests.factories import make_backbone_folder

WITHOUT_DROPOUT = {"eurobert", "ultrabert"}
"""Architectures that have none."""


@pytest.fixture(scope="module", params=sorted(ARCHITECTURES))
def encoder(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Backbone]:
    """Each architecture, as a tiny model."""
    folder: Path = tmp_path_factory.mktemp("dropout") / request.param
    return request.param, load_backbone(make_backbone_folder(folder, request.param), device="cpu")


def row(backbone: Backbone, num_tokens: int, dropout: RowDropout | None = None) -> Row:
    tokens = [5 + 3 * n % 90 for n in range(num_tokens)]
    return backbone.row(EncodedText(tokens, [0] * num_tokens), dropout=dropout)


@torch.no_grad()
def run(backbone: Backbone, *rows: Row) -> list[Tensor]:
    hidden = backbone(backbone.pack(rows), backbone.empty_pool(1))
    return list(torch.split(hidden, [row.num_tokens for row in rows]))


def test_a_row_loses_the_same_units_alone_and_in_a_batch(encoder: tuple[str, Backbone]) -> None:
    _, backbone = encoder
    dropping = row(backbone, 7, RowDropout(0.3, seed=1))
    other = row(backbone, 11, RowDropout(0.1, seed=2))
    plain = row(backbone, 5)
    mixed = run(backbone, plain, other, dropping)
    for found, alone in zip(mixed, (plain, other, dropping), strict=True):
        torch.testing.assert_close(found, run(backbone, alone)[0], rtol=0, atol=1e-5)


def test_dropout_changes_what_an_architecture_with_dropouts_returns(
    encoder: tuple[str, Backbone],
) -> None:
    name, backbone = encoder
    plain, one, same, other = (
        run(backbone, row(backbone, 9, dropout))[0]
        for dropout in (None, RowDropout(0.3, 1), RowDropout(0.3, 1), RowDropout(0.3, 2))
    )
    assert torch.equal(one, same)
    are_alike = (torch.equal(one, plain), torch.equal(one, other))
    assert are_alike == ((True, True) if name in WITHOUT_DROPOUT else (False, False))


def hooked(backbone: Backbone) -> list[int]:
    """Return the number of hooks of every dropout."""
    modules = backbone.model.modules()
    return [len(one._forward_hooks) for one in modules if isinstance(one, nn.Dropout)]


def test_only_models_that_train_have_hooks_at_their_dropouts(backbone_folder: Path) -> None:
    backbone = load_backbone(backbone_folder, device="cpu")
    run(backbone, row(backbone, 4))
    assert not any(hooked(backbone))
    for seed in range(2):
        run(backbone, row(backbone, 4, RowDropout(0.1, seed)))
    assert set(hooked(backbone)) == {1}


def test_each_dropout_zeroes_its_share_and_scales_up_the_rest(backbone: Backbone) -> None:
    run(backbone, row(backbone, 4, RowDropout(0.25, seed=0)))  # the hook below must come second
    found = []
    modules = dict(backbone.model.named_modules())
    for name in ("embeddings.dropout", "encoder.layer.0.output.dropout"):
        module = modules[name]
        hook = module.register_forward_hook(
            lambda _m, inputs, output: found.append((inputs, output))
        )
        run(backbone, row(backbone, 4), row(backbone, 60, RowDropout(0.25, seed=3)))
        hook.remove()
    factors = [(output / inputs[0])[0] for inputs, output in found]
    for factor in factors:
        assert (factor[:4] == 1).all()
        dropped = factor[4:] == 0
        assert 0.2 < float(dropped.float().mean()) < 0.3
        torch.testing.assert_close(
            factor[4:][~dropped], torch.full_like(factor[4:][~dropped], 4 / 3)
        )
    assert not torch.equal(*factors)


def test_the_dropout_after_attention_of_mpnet_is_not_bypassed(tmp_path: Path) -> None:
    mpnet = load_backbone(make_backbone_folder(tmp_path / "mpnet", "mpnet"), device="cpu")
    called = []
    for layer in mpnet.model.encoder.layer:
        layer.attention.dropout.register_forward_hook(lambda *_: called.append(True))
    run(mpnet, row(mpnet, 4))
    assert len(called) == mpnet.fingerprint.num_layers
