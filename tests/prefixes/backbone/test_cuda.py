"""A GPU gives the numbers of the CPU, but for rounding; in bfloat16 through its own kernel."""

import pytest
import torch
from torch import Tensor

from prefixes.backbone import PackedBatch, Row, load_backbone

pytestmark = [
    pytest.mark.minilm,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU with CUDA"),
]

_LENGTH = 16
_NUM_PREFIXES = 3


def _run(device: str, dtype: str) -> tuple[Tensor, Tensor]:
    """Run texts of many lengths, most of them with a prefix; give their states `[T, hidden]` and
    the gradient of the pool.
    """
    backbone = load_backbone("minilm", device=device, dtype=dtype, to_train=True)
    noise = torch.Generator().manual_seed(0)
    shape = backbone.empty_pool(_NUM_PREFIXES * _LENGTH).shape
    pool = (0.3 * torch.randn(shape, generator=noise)).to(backbone.device).requires_grad_()
    rows = []
    for number in range(20):
        words = torch.randint(1000, 20000, (3 + 3 * number,), generator=noise).tolist()
        first = _LENGTH * (number % (_NUM_PREFIXES + 1))
        slots = tuple(range(first, first + _LENGTH)) if first < shape[2] else ()
        rows.append(Row([101, *words, 102], [0] * (len(words) + 2), len(slots), slots))
    hidden = backbone(PackedBatch.pack(rows, backbone.device), pool).float()
    weights = torch.randn(hidden.shape, generator=noise).to(hidden.device)
    (gradient,) = torch.autograd.grad((hidden * weights).sum(), pool)
    return hidden.detach().cpu(), gradient.cpu()


@pytest.mark.parametrize(("dtype", "most"), [("float32", 1e-4), ("bfloat16", 0.05)])
def test_states_and_gradients_are_those_of_the_cpu(dtype: str, most: float) -> None:
    for found, expected in zip(_run("cuda", dtype), _run("cpu", "float32"), strict=True):
        assert (found - expected).norm() < most * expected.norm()
