"""Golden replay: what counts as the same outputs, for logits and for embeddings."""

from typing import Any

import numpy as np
import pytest
import torch

from prefixes import GoldenExample, PrefixSpec
from prefixes.backbone import replay_findings
from tests.factories import make_spec
from tests.prefixes.facts import BACKBONE

WIDTH = 256


def spec_of(outputs: Any, **changes: Any) -> PrefixSpec:
    golden = GoldenExample(fields={"text": "a film"}, logits=tuple(map(float, outputs)))
    return make_spec(
        BACKBONE.model_copy(update={"hidden_size": WIDTH}), golden=(golden,), **changes
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_pass_within_the_tolerance_of_the_number_type(dtype: torch.dtype) -> None:
    spec = spec_of([3.0, -1.0])
    near, far = {torch.float32: (0.003, 0.005), torch.bfloat16: (0.2, 0.3)}[dtype]

    def passes(error: float) -> bool:
        return not replay_findings(spec, [np.array([3.0 + error, -1.0], np.float32)], dtype)

    assert passes(near)
    assert not passes(far)
    assert not passes(np.nan)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("length", [1.0, 30.0])
def test_an_embedding_passes_only_near_the_one_in_the_file(
    dtype: torch.dtype, length: float
) -> None:
    # Every number of a long vector of length 1 is small compared with 1. A tolerance relative to 1
    # would accept any vector.
    rng = np.random.default_rng(0)
    direction, error = (
        x / np.linalg.norm(x) for x in rng.normal(size=(2, WIDTH)).astype(np.float32)
    )
    spec = spec_of(length * direction, task_type="embedding")
    near, far = {torch.float32: (5e-4, 2e-3), torch.bfloat16: (0.03, 0.1)}[dtype]

    def passes(share: float) -> bool:
        return not replay_findings(spec, [length * (direction + share * error)], dtype)

    assert passes(near)
    assert not passes(far)
