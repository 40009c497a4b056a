"""Packed layers: equal to plain ones, isolated by token, and with the same gradients."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from prefixes.backbone import load_backbone
from prefixes.backbone.kernels import linear
from prefixes.backbone.kernels.linear import is_worth_measuring, linear_contest
from prefixes.backbone.kernels.measurement import measure
from prefixes.backbone.kernels.names import ONEDNN, TORCH, Kernels
from prefixes.backbone.kernels.packed_linear import PackedLinear
from prefixes.errors import BackboneUnavailable, KernelUnavailable
from tests.encoders import ENCODERS
from tests.factories import make_backbone_folder
from tests.kernels import needs_onednn, reason_without_onednn
from tests.prefixes.backbone.kernels.contests import CPU

DTYPES = tuple(
    pytest.param(
        dtype,
        marks=pytest.mark.skipif(
            bool(reason_without_onednn(dtype)), reason=reason_without_onednn(dtype)
        ),
    )
    for dtype in (torch.float32, torch.bfloat16, torch.float16)
)


def layer(inputs: int, outputs: int, *, bias: bool = True) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(inputs, outputs, bias=bias).requires_grad_(requires_grad=False)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(7,), (1, 7), (2, 3, 7), (0, 7), (1, 0, 7)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_packed_layer_equals_the_plain_one(
    shape: tuple[int, ...], dtype: torch.dtype, *, bias: bool
) -> None:
    plain = layer(shape[-1], 5, bias=bias).to(dtype)
    tokens = torch.randn(shape).to(dtype)

    found = PackedLinear(plain)(tokens)

    assert found.shape == plain(tokens).shape
    torch.testing.assert_close(found, plain(tokens))


@needs_onednn
def test_tokens_that_are_not_contiguous_give_the_same() -> None:
    plain = layer(16, 8)
    tokens = torch.randn(16, 6).T

    torch.testing.assert_close(PackedLinear(plain)(tokens), plain(tokens))


@needs_onednn
@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
def test_a_token_that_is_not_finite_changes_no_other(number: float) -> None:
    packed = PackedLinear(layer(16, 8))
    tokens = torch.randn(6, 16)
    expected = packed(tokens)
    tokens[2, 5] = number

    found = packed(tokens)

    others = [0, 1, 3, 4, 5]
    assert torch.equal(found[others], expected[others])
    assert not found[2].isfinite().any()


@needs_onednn
def test_the_gradient_of_the_input_equals_that_of_the_plain_layer() -> None:
    plain = layer(16, 8)
    tokens = torch.randn(2, 6, 16)
    gradients = []
    for one in (plain, PackedLinear(plain)):
        learned = tokens.clone().requires_grad_()
        one(learned).square().sum().backward()
        assert learned.grad is not None
        gradients.append(learned.grad)

    torch.testing.assert_close(*gradients)


@needs_onednn
def test_a_gradient_that_is_not_finite_changes_no_other_token() -> None:
    packed = PackedLinear(layer(16, 8))
    tokens = torch.randn(3, 16, requires_grad=True)
    gradient = torch.ones(3, 8)
    gradient[1, 2] = float("nan")

    (found,) = torch.autograd.grad(packed(tokens), tokens, gradient)

    assert found.isfinite().all(1).tolist() == [True, False, True]


@needs_onednn
def test_threads_that_run_at_once_get_what_each_gets_alone() -> None:
    packed = PackedLinear(layer(64, 32))
    tokens = [torch.randn(n, 64) for n in range(1, 9)]

    def run(number: int) -> Tensor:
        learned = tokens[number].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(packed(learned).sum(), learned)
        return gradient

    with ThreadPoolExecutor(4) as threads:
        at_once = list(threads.map(run, range(8)))

    for number, found in enumerate(at_once):
        assert torch.equal(found, run(number))


@needs_onednn
def test_the_state_of_a_packed_layer_is_that_of_the_plain_one() -> None:
    plain = layer(16, 8)

    packed = PackedLinear(plain)

    assert torch.equal(packed.weight, plain.weight)
    state = packed.state_dict()
    assert set(state) == {"weight", "bias"}
    assert all(torch.equal(state[name], tensor) for name, tensor in plain.state_dict().items())


@needs_onednn
@pytest.mark.parametrize("architecture", sorted(ENCODERS))
def test_all_layers_but_those_of_the_pooler_are_packed(architecture: str, tmp_path: Path) -> None:
    folder = make_backbone_folder(tmp_path / architecture, architecture)
    plain = load_backbone(folder, device="cpu", linear_kernel="torch")

    packed = load_backbone(folder, device="cpu", linear_kernel="onednn")

    assert packed.kernels == Kernels(ONEDNN, TORCH)
    assert packed.fingerprint == plain.fingerprint
    left = [name for name, one in packed.model.named_modules() if isinstance(one, nn.Linear)]
    assert all(name.startswith("pooler") for name in left)
    before, after = plain.model.state_dict(), packed.model.state_dict()
    assert set(after) == set(before)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


@needs_onednn
@pytest.mark.parametrize("to_train", [True, False])
def test_packed_and_plain_layers_are_measured_with_the_results_of_both_compared(
    *, to_train: bool
) -> None:
    model = nn.Sequential(layer(16, 32), layer(32, 16), layer(16, 32))
    random = torch.get_rng_state()

    contest = linear_contest(model, CPU, to_train=to_train)
    figures = measure(contest, CPU)

    assert set(figures.seconds) == {TORCH, ONEDNN}
    assert not figures.excluded
    assert torch.equal(torch.get_rng_state(), random)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_short_text_is_multiplied_with_many_layers_and_a_batch_with_one_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(linear, "_MAX_WEIGHTS", 5 * 16 * 32)
    monkeypatch.setattr("torch.get_num_threads", lambda: 2)
    model = nn.Sequential(*(layer(*shape) for shape in [(16, 32), (32, 16)] * 4))

    contest = linear_contest(model, CPU, to_train=False)

    calls = contest.candidates[0].prepare()
    labels = [workload.label for workload in contest.workloads]
    assert {label: len(call()) for label, call in zip(labels, calls, strict=True)} == {
        "16 tokens on 1 thread": 5,
        "128 tokens on 1 thread": 2,
        "256 tokens on 1 thread": 2,
        "16 tokens on 2 threads": 5,
    }


def test_a_processor_without_the_operator_keeps_plain_layers(
    backbone_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("mkldnn_reorder_linear_weight: bf16 path needs avx512")

    monkeypatch.setattr(linear, "PackedLinear", fail)
    monkeypatch.setattr(linear, "_MIN_WEIGHTS", 0)

    assert load_backbone(backbone_folder, device="cpu").kernels.linear == TORCH
    with pytest.raises(KernelUnavailable, match="bf16 path needs avx512; choose auto or torch"):
        load_backbone(backbone_folder, device="cpu", linear_kernel="onednn")


@pytest.mark.skipif(not reason_without_onednn(torch.bfloat16), reason="this processor has it")
def test_bfloat16_runs_with_plain_layers_where_it_cannot_be_packed(
    backbone_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear, "_MIN_WEIGHTS", 0)

    backbone = load_backbone(backbone_folder, device="cpu", dtype="bfloat16")

    assert backbone.kernels.linear == TORCH
    with pytest.raises(KernelUnavailable, match="cannot run on this machine"):
        load_backbone(backbone_folder, device="cpu", dtype="bfloat16", linear_kernel="onednn")


def test_a_gpu_has_no_packed_layers() -> None:
    contest = linear_contest(layer(4, 4), torch.device("cuda"), to_train=False)

    assert [candidate.name for candidate in contest.candidates] == [TORCH]


def test_small_models_are_not_measured(backbone_folder: Path) -> None:
    assert not is_worth_measuring(layer(100, 100))
    assert is_worth_measuring(layer(1000, 1000))
    assert load_backbone(backbone_folder, device="cpu").kernels.linear == TORCH


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"linear_kernel": "mkl"}, "Invalid linear kernel 'mkl': expected one of auto, torch, one"),
        ({"attention_kernel": "x"}, "Invalid attention kernel 'x': expected one of auto, torch"),
        ({"linear_kernel": "onednn", "quantize": "int8"}, "omit either quantize or the linear"),
    ],
)
def test_kernels_that_do_not_exist_are_rejected(
    options: dict[str, str], message: str, backbone_folder: Path
) -> None:
    with pytest.raises(BackboneUnavailable, match=message):
        load_backbone(backbone_folder, device="cpu", **options)  # type: ignore[arg-type]


@needs_onednn
@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs the maps of Linux")
def test_packing_unmaps_the_file_of_the_dense_weights(tmp_path: Path) -> None:
    folder = make_backbone_folder(tmp_path / "backbone")
    plain = load_backbone(folder, device="cpu", linear_kernel=TORCH)
    assert str(folder) in Path("/proc/self/maps").read_text()
    del plain

    packed = load_backbone(folder, device="cpu", linear_kernel=ONEDNN)

    assert packed.kernels.linear == ONEDNN
    assert str(folder) not in Path("/proc/self/maps").read_text()
