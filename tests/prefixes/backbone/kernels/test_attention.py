"""The contest of attention kernels: who takes part, and that all compute the same."""

from pathlib import Path
from typing import get_args

import pytest
import torch

from prefixes.backbone import PackedBatch, Row, load_backbone
from prefixes.backbone.attention import PrefixedCall
from prefixes.backbone.kernels.attention import AttentionSizes, attention_contest
from prefixes.backbone.kernels.measurement import prepare
from prefixes.backbone.kernels.names import (
    ATTENTION_KERNELS,
    AUTO,
    COMPILED,
    LONGEST_COMPILED,
    TORCH,
)
from prefixes.backbone.native import library
from prefixes.errors import PrefixError
from server.settings.engine import EngineSettings
from tests.factories import make_backbone_folder
from tests.kernels import load_compiled_attention, needs_compiler
from training.settings.plan import TrainPlan

CPU = torch.device("cpu")
SIZES = AttentionSizes(num_heads=4, key_heads=2, head_size=8)


def candidates(
    dtype: torch.dtype = torch.float32,
    device: torch.device = CPU,
    *,
    scores_distances: bool = False,
) -> list[str]:
    contest = attention_contest(
        SIZES, device, dtype, scores_distances=scores_distances, to_train=False
    )
    return [candidate.name for candidate in contest.candidates]


def test_the_compiled_attention_takes_part_where_it_supports_the_backbone() -> None:
    assert candidates(torch.float32) == list(ATTENTION_KERNELS)
    assert candidates(torch.bfloat16) == list(ATTENTION_KERNELS)
    assert candidates(torch.float16) == [TORCH]
    assert candidates(device=torch.device("cuda")) == [TORCH]
    assert candidates(scores_distances=True) == [TORCH]


@needs_compiler
@pytest.mark.parametrize("to_train", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_all_candidates_agree(dtype: torch.dtype, *, to_train: bool) -> None:
    load_compiled_attention()
    contest = attention_contest(SIZES, CPU, dtype, scores_distances=False, to_train=to_train)

    calls, excluded = prepare(contest)

    assert list(calls) == list(ATTENTION_KERNELS)
    assert not excluded


def test_without_the_library_the_compiled_attention_is_excluded_with_the_command_to_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("prefixes.backbone.native.operator.is_compiled", lambda: False)
    contest = attention_contest(SIZES, CPU, torch.float32, scores_distances=False, to_train=False)

    calls, excluded = prepare(contest)

    assert list(calls) == [TORCH]
    assert library.COMMAND in excluded[COMPILED]


def test_a_backbone_that_scores_distances_rejects_the_compiled_attention(tmp_path: Path) -> None:
    folder = make_backbone_folder(tmp_path / "mpnet", "mpnet")

    with pytest.raises(PrefixError, match="'compiled' does not support this backbone"):
        load_backbone(folder, device="cpu", attention_kernel=COMPILED)


def test_a_tiny_backbone_is_not_measured(backbone_folder: Path) -> None:
    assert load_backbone(backbone_folder, device="cpu").kernels.attention == TORCH


@needs_compiler
@pytest.mark.parametrize("window", [None, 3])
def test_texts_on_both_sides_of_a_bound_are_computed_as_by_plain_pytorch(
    window: int | None,
) -> None:
    load_compiled_attention()
    lengths = [70, 3, 64, 65, 1, 128]
    rows = [Row([0] * n, [0] * n, 0, range(n % 5)) for n in lengths]
    query, key, value = (torch.randn(sum(lengths), 4, 8) for _ in range(3))
    pool = torch.randn(1, 2, 5, 4, 8)
    attended = []
    for longest in LONGEST_COMPILED.values():
        packed = PackedBatch.pack(rows, longest_compiled=longest)
        laid = [packed.in_layout_order(x) for x in (query, key, value)]
        output = PrefixedCall(packed, pool).attend(*laid, scaling=0.3, window=window)
        attended.append(packed.in_callers_order(output))
    for output in attended[1:]:
        torch.testing.assert_close(output, attended[0], atol=1e-6, rtol=1e-5)


def test_settings_offer_every_attention_kernel() -> None:
    offered = (AUTO, *ATTENTION_KERNELS)
    for model in (EngineSettings, TrainPlan):
        assert get_args(model.model_fields["attention_kernel"].annotation) == offered
