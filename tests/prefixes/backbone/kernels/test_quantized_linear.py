"""Int8 layers: near float32, the same whoever shares the batch, and never trained through."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from prefixes.backbone import Backbone, EncodedText, load_backbone, pool_of, run_mixed
from prefixes.backbone.kernels.int8_products import ARITHMETICS
from prefixes.backbone.kernels.linear import int8_contest
from prefixes.backbone.kernels.measurement import measure
from prefixes.backbone.kernels.names import (
    ATTENTION_KERNELS,
    ONEDNN,
    ONEDNN_COMPILED,
    TORCH,
    TORCH_COMPILED,
)
from prefixes.backbone.kernels.quantized_linear import QuantizedLinear, rounded_weight
from prefixes.backbone.native.build import find_compiler
from prefixes.backbone.packing import PackedBatch
from prefixes.backbone.replay import TOLERANCES, drifts, golden_outputs, replay_findings
from prefixes.errors import UnsupportedBackbone
from tests.encoders import ENCODERS
from tests.factories import make_backbone_folder, make_prefix, with_golden, with_tensors
from tests.kernels import INT8_KERNELS, load_compiled_attention, needs_compiler

TEXTS = ("a good film", "what was the plot of this very poor book?", "now")


def layer(inputs: int, outputs: int, *, bias: bool = True) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(inputs, outputs, bias=bias).requires_grad_(requires_grad=False)


def distance(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.fixture(autouse=True)
def _compiled() -> None:
    if find_compiler() is not None:
        load_compiled_attention()


@pytest.fixture
def int8(backbone_folder: Path) -> Backbone:
    return load_backbone(backbone_folder, device="cpu", quantize="int8")


@pytest.mark.parametrize("kernel", INT8_KERNELS)
@pytest.mark.parametrize("shape", [(7,), (1, 7), (2, 3, 7), (2, 40)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_nearly_equals_the_float_layer(
    shape: tuple[int, ...], kernel: str, *, bias: bool
) -> None:
    plain = layer(shape[-1], 5, bias=bias)
    tokens = torch.randn(shape) + 3  # GELU's outputs, too, are not centered

    found = QuantizedLinear(plain, kernel=kernel)(tokens)

    assert found.shape == plain(tokens).shape
    assert distance(found, plain(tokens)) < 0.02


SHAPES = pytest.mark.parametrize("shape", [(16, 7), (1, 3, 2048), (0, 7), (40, 384)])


@SHAPES
@pytest.mark.parametrize(
    "kernels",
    [
        (ONEDNN, TORCH),
        pytest.param((ONEDNN_COMPILED, TORCH_COMPILED), marks=needs_compiler),
    ],
)
def test_both_products_compute_the_same_bits(
    shape: tuple[int, ...], kernels: tuple[str, str]
) -> None:
    plain = layer(shape[-1], 5)
    tokens = torch.randn(shape)

    outputs = [QuantizedLinear(plain, kernel=kernel)(tokens) for kernel in kernels]

    assert outputs[0].shape == plain(tokens).shape
    assert torch.equal(*outputs)


@needs_compiler
@SHAPES
def test_compiled_rounding_gives_the_same_codes_and_nearly_the_same_outputs(
    shape: tuple[int, ...],
) -> None:
    plain = layer(shape[-1], 37)
    tokens = torch.randn(shape)
    rows = tokens.reshape(-1, shape[-1])
    weight = rounded_weight(plain)

    expected, found = (ARITHMETICS[name](weight).round(rows) for name in (ONEDNN, ONEDNN_COMPILED))
    exact = QuantizedLinear(plain, kernel=ONEDNN)(tokens)
    compiled = QuantizedLinear(plain, kernel=ONEDNN_COMPILED)(tokens)

    assert all(map(torch.equal, found, expected))
    assert torch.allclose(compiled, exact, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kernel", INT8_KERNELS)
def test_the_largest_codes_of_both_signs_are_added_without_overflow(kernel: str) -> None:
    plain = layer(3072, 2)
    plain.weight[0], plain.weight[1] = 1.0, -1.0
    tokens = torch.ones(20, 3072)
    tokens[:, 0] = 0.0  # all others become 127

    found = QuantizedLinear(plain, kernel=kernel)(tokens)

    assert torch.allclose(found, plain(tokens), rtol=1e-6)


def test_int8_kernels_are_compared_where_the_processor_is_fast_at_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = nn.Sequential(layer(16, 8), layer(8, 4))
    monkeypatch.setattr("prefixes.backbone.kernels.linear.is_compiled", lambda: False)

    monkeypatch.setattr("torch.cpu._is_vnni_supported", lambda: False)
    assert [one.name for one in int8_contest(model).candidates] == [ONEDNN]
    monkeypatch.setattr("torch.cpu._is_vnni_supported", lambda: True)
    assert [one.name for one in int8_contest(model).candidates] == [ONEDNN, TORCH]


@needs_compiler
def test_all_int8_kernels_agree_and_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cpu._is_vnni_supported", lambda: True)

    figures = measure(int8_contest(nn.Sequential(layer(16, 8), layer(8, 4))), torch.device("cpu"))

    assert set(figures.seconds) == set(ARITHMETICS)
    assert not figures.excluded


@needs_compiler
def test_a_quantized_backbone_measures_its_attention(
    backbone_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prefixes.backbone.kernels.linear._MIN_WEIGHTS", 1)
    monkeypatch.setattr(
        "prefixes.backbone.kernels.chooser.pick", lambda contest, _: contest.candidates[-1].name
    )

    chosen = load_backbone(backbone_folder, device="cpu", quantize="int8")

    assert chosen.kernels.attention == ATTENTION_KERNELS[-1]


@pytest.mark.parametrize("kernel", INT8_KERNELS)
def test_a_backbone_runs_with_the_int8_kernel_that_was_chosen(
    backbone_folder: Path, kernel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prefixes.backbone.placement.is_worth_measuring", lambda _: True)
    monkeypatch.setattr("torch.cpu._is_vnni_supported", lambda: True)
    monkeypatch.setattr("prefixes.backbone.kernels.chooser.pick", lambda *_: kernel)

    chosen = load_backbone(backbone_folder, device="cpu", quantize="int8", attention_kernel=TORCH)

    kernels = {one.kernel for one in chosen.model.modules() if isinstance(one, QuantizedLinear)}
    assert kernels == {kernel}


def test_sums_of_the_largest_products_are_exact() -> None:
    plain = layer(512, 3)
    plain.weight.fill_(1.0)
    tokens = torch.ones(4, 512)
    tokens[:, 0] = 0.0

    assert torch.allclose(QuantizedLinear(plain)(tokens), plain(tokens), rtol=1e-6)


def test_numbers_are_rounded_to_the_nearest_code() -> None:
    plain = layer(128, 128, bias=False)
    plain.weight.copy_(torch.eye(128))
    tokens = torch.arange(128.0)[None] + torch.tensor([-0.4, 0.0, 0.4, 0.0]).repeat(32)
    tokens[0, 0] = 0.0

    found = QuantizedLinear(plain)(tokens)

    assert torch.allclose(found, torch.arange(128.0), atol=1e-3)


@pytest.mark.parametrize("kernel", INT8_KERNELS)
def test_many_tokens_are_rounded_as_each_of_them_alone(kernel: str) -> None:
    quantized = QuantizedLinear(layer(2048, 8), kernel=kernel)
    tokens = torch.randn(600, 2048)  # more than are rounded at once

    together = quantized(tokens)

    alone = torch.cat([quantized(token[None]) for token in tokens])
    assert torch.allclose(together, alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kernel", INT8_KERNELS)
@pytest.mark.parametrize("place", [5, 36])
@pytest.mark.parametrize("number", [1e9, float("inf"), float("-inf"), float("nan")])
def test_a_neighbor_with_wild_numbers_changes_nothing_for_others(
    number: float, place: int, kernel: str
) -> None:
    quantized = QuantizedLinear(layer(37, 8), kernel=kernel)
    tokens = torch.randn(6, 37)
    expected = quantized(tokens)
    tokens[2, place] = number

    found = quantized(tokens)

    others = [0, 1, 3, 4, 5]
    assert torch.equal(found[others], expected[others])
    assert bool(found[2].isfinite().all()) == (number == 1e9)


@pytest.mark.parametrize("kernel", INT8_KERNELS)
def test_tokens_of_equal_numbers_are_exact(kernel: str) -> None:
    plain = layer(16, 8)

    zeros, twos = torch.zeros(1, 16), torch.full((1, 16), 2.0)

    quantized = QuantizedLinear(plain, kernel=kernel)
    assert torch.allclose(quantized(zeros), plain(zeros))
    assert distance(quantized(twos), plain(twos)) < 0.02  # the weights are rounded still


def test_layers_that_share_roundings_give_what_each_gives_alone() -> None:
    roundings = WeakTensorKeyDictionary()
    linears = (layer(16, 8), layer(16, 4, bias=False))
    shared = [QuantizedLinear(linear, roundings) for linear in linears]
    alone = [QuantizedLinear(linear) for linear in linears]

    for _ in range(20):  # a tensor may lie where another, now freed, has lain
        tokens = torch.randn(1, 3, 16)
        for one, other in zip(shared, alone, strict=True):
            assert torch.equal(one(tokens), other(tokens))


def test_a_rounding_lives_as_long_as_what_was_rounded() -> None:
    roundings = WeakTensorKeyDictionary()
    quantized = QuantizedLinear(layer(16, 8), roundings)
    tokens = torch.randn(3, 16)

    quantized(tokens)
    assert len(roundings) == 1
    del tokens

    assert not roundings


def test_a_layer_rejects_gradients() -> None:
    tokens = torch.randn(2, 16, requires_grad=True)

    with pytest.raises(UnsupportedBackbone, match="int8, which does not support gradients"):
        QuantizedLinear(layer(16, 8))(tokens)


def test_a_quantized_backbone_refuses_to_train_a_prefix(int8: Backbone) -> None:
    row = int8.row(EncodedText([2, 5, 6, 3], [0] * 4), slots=(0,))
    pool = int8.empty_pool(1).requires_grad_()

    with pytest.raises(UnsupportedBackbone, match="int8, which does not support gradients"):
        int8(PackedBatch.pack([row], int8.device), pool)


@pytest.mark.parametrize("architecture", sorted(ENCODERS))
def test_every_architecture_runs_in_int8_within_the_bound_of_the_replay(
    architecture: str, tmp_path: Path
) -> None:
    folder = make_backbone_folder(tmp_path / architecture, architecture)
    plain = load_backbone(folder, device="cpu")
    int8 = load_backbone(folder, device="cpu", quantize="int8")
    prefix = with_golden(plain, make_prefix(plain.fingerprint), TEXTS)

    pool, (resident,) = pool_of(int8, [prefix])
    outputs = golden_outputs(int8, pool, resident)

    assert 0 < max(drifts(prefix.spec, outputs)) < TOLERANCES[torch.int8]
    for name, linear in list(plain.model.named_modules()):
        if isinstance(linear, nn.Linear) and not name.startswith(("embeddings", "pooler")):
            parent, _, child = name.rpartition(".")
            setattr(plain.model.get_submodule(parent), child, QuantizedLinear(linear))
    pool, (resident,) = pool_of(plain, [prefix])
    unshared = golden_outputs(plain, pool, resident)
    assert all(map(np.array_equal, unshared, outputs))  # no rounding is stale
    left = [name for name, one in int8.model.named_modules() if isinstance(one, nn.Linear)]
    assert all(name.startswith(("embeddings", "pooler")) for name in left)


def test_how_a_backbone_runs_is_no_part_of_what_it_is(backbone: Backbone, int8: Backbone) -> None:
    assert int8.fingerprint == backbone.fingerprint
    assert int8.dtype == int8.empty_pool(1).dtype == torch.float32
    assert int8.precision == torch.int8


def test_only_the_layers_of_the_encoder_are_quantized(int8: Backbone) -> None:
    quantized = [
        name for name, module in int8.model.named_modules() if isinstance(module, QuantizedLinear)
    ]

    assert len(quantized) == 2 * 6
    assert all(name.startswith("encoder.layer.") for name in quantized)


def test_threads_that_run_at_once_get_what_each_gets_alone(int8: Backbone) -> None:
    prefixes = [make_prefix(int8.fingerprint, seed=seed) for seed in range(4)]
    pool, residents = pool_of(int8, prefixes)
    texts = [int8.texts.encode(prefix.spec, [{"text": "a good film"}])[0][0] for prefix in prefixes]

    def outputs(number: int) -> list[float]:
        (found,) = run_mixed(int8, pool, [(texts[number], residents[number])])
        return [float(value) for value in found]

    alone = [outputs(number) for number in range(4)]
    with ThreadPoolExecutor(4) as threads:
        at_once = list(threads.map(outputs, [0, 1, 2, 3] * 5))

    assert np.allclose(at_once, alone * 5, atol=1e-5)


def test_the_replay_lets_int8_pass_and_finds_other_tensors(
    backbone: Backbone, int8: Backbone
) -> None:
    prefix = with_golden(backbone, make_prefix(backbone.fingerprint), TEXTS)
    swapped = with_tensors(
        prefix,
        {
            "prefix.keys": prefix.tensors["prefix.values"],
            "prefix.values": prefix.tensors["prefix.keys"],
        },
    )
    findings = []
    for one in (prefix, swapped):
        pool, (resident,) = pool_of(int8, [one])
        outputs = golden_outputs(int8, pool, resident)
        findings.append(replay_findings(one.spec, outputs, int8.precision))

    assert findings[0] == ()
    assert {finding.code for finding in findings[1]} == {"golden_mismatch"}
