"""In bfloat16 every architecture learns what it learns in float32, but for rounding."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prefixes.backbone import load_backbone
from prefixes.backbone.architecture import ARCHITECTURES
from tests.factories import make_backbone_folder
from tests.training.learnable_tasks import make_config, sentiment_rows, start, step_all, write_jsonl


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param({"initialization": "noise"}, id="prefix"),
        pytest.param({"method": "vectors", "prefix_length": 0}, id="vectors"),
    ],
)
@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_a_step_in_bfloat16_follows_the_gradient_of_float32(
    tmp_path: Path, architecture: str, shape: dict[str, Any]
) -> None:
    folder = make_backbone_folder(tmp_path / "tiny", architecture=architecture)
    path = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(40))
    gradients, losses = [], []
    for dtype in ("float32", "bfloat16"):
        backbone = load_backbone(folder, device="cpu", dtype=dtype, to_train=True)
        run = start(backbone, make_config(path, **shape, max_gradient_norm=1e9))
        step_all(backbone, [run])
        (state,) = (run.optimizer.state[x] for x in run.learner.prefix_parameters())
        gradients.append(state["exp_avg"].flatten().numpy())
        losses.append(run.losses[0])
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    assert np.corrcoef(gradients)[0, 1] > 0.98
