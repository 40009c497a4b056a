"""The contest of the kernels for prefix attention."""

from prefixes.backbone.kernels.contest import Candidate, Contest
from prefixes.backbone.kernels.names import TORCH


def attention_contest() -> Contest:
    """Compare the kernels for prefix attention."""
    return Contest("attention", (), [Candidate(TORCH, list)], tolerance=0.0, seconds=0.0)
