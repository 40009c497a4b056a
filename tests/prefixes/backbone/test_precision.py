"""The number type of a backbone: the one asked for, or the one that the device does well."""

import logging
from pathlib import Path

import pytest
import torch
from torch import nn

from prefixes.backbone import load_backbone
from prefixes.backbone.kernels.contest import pick
from prefixes.backbone.precision import check_precision, dtype_contest
from prefixes.errors import BackboneUnavailable

LOGGER = "prefixes.backbone.kernels.chooser"
CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("float32", "bfloat16", "expected"),
    [
        pytest.param(1.0, 0.5, "bfloat16", id="twice-as-fast"),
        pytest.param(1.2, 1.0, "bfloat16", id="just-fast-enough"),
        pytest.param(1.19, 1.0, "float32", id="hardly-faster"),
        pytest.param(1.0, 1.0, "float32", id="a-tie"),
        pytest.param(1.0, 9.0, "float32", id="slower"),
    ],
)
def test_a_lower_precision_is_taken_only_where_it_is_clearly_faster(
    float32: float, bfloat16: float, expected: str
) -> None:
    contest = dtype_contest(nn.Linear(2, 2), CPU, to_train=False)

    assert pick(contest, {"float32": [[float32]], "bfloat16": [[bfloat16]]}) == expected


def test_auto_takes_what_its_own_figures_say_and_logs_them_in_one_line(
    backbone_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    backbone = load_backbone(backbone_folder, device="cpu", dtype="auto")

    (record,) = [one for one in caplog.records if one.name == LOGGER]
    message = record.getMessage()
    assert f"kernels on cpu: dtype: {str(backbone.dtype).removeprefix('torch.')} (" in message
    assert "float32 " in message
    assert "bfloat16 " in message
    assert "\n" not in message
    assert backbone.precision == backbone.dtype


def test_the_next_start_takes_the_cached_type_without_measuring(
    backbone_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    cache = tmp_path / "kernels.json"
    first = load_backbone(backbone_folder, device="cpu", dtype="auto", kernel_cache=cache)
    monkeypatch.delattr("prefixes.backbone.kernels.chooser.measure")

    second = load_backbone(backbone_folder, device="cpu", dtype="auto", kernel_cache=cache)

    assert second.dtype == first.dtype
    assert "(cached)" in [one for one in caplog.records if one.name == LOGGER][-1].getMessage()


def test_a_named_precision_is_taken_without_measuring(
    backbone_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    backbone = load_backbone(backbone_folder, device="cpu", dtype="float16")

    assert backbone.dtype == backbone.precision == torch.float16
    assert not [one for one in caplog.records if one.name == LOGGER]


@pytest.mark.parametrize(
    ("device", "dtype", "quantize", "message"),
    [
        pytest.param("cpu", "half", None, "Invalid dtype 'half'", id="unknown-type"),
        pytest.param("cpu", "float32", "int4", "'int4': expected int8", id="int4"),
        pytest.param(
            "cpu", "bfloat16", "int8", "omit either dtype or quantize", id="two-precisions"
        ),
        pytest.param("cuda:0", "float32", "int8", "needs a CPU, the device is cuda:0", id="gpu"),
    ],
)
def test_ways_of_running_that_do_not_exist_are_refused(
    device: str, dtype: str, quantize: str | None, message: str
) -> None:
    with pytest.raises(BackboneUnavailable, match=message):
        check_precision(torch.device(device), dtype, quantize)


@pytest.mark.parametrize("dtype", ["auto", "float32"])
def test_a_quantized_backbone_may_be_asked_for_with_what_it_is_anyway(dtype: str) -> None:
    check_precision(CPU, dtype, "int8")
