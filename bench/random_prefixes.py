"""Prefixes with random values, since the values do not affect the cost."""

import numpy as np

from bench.backbones import NUM_LABELS
from prefixes import BackboneFingerprint, HeadSpec, Prefix, PrefixSpec
from prefixes.checks import expected_shapes


def random_prefix(facts: BackboneFingerprint, length: int, seed: int, *, rank: int = 0) -> Prefix:
    """Make a random single-label classifier for a backbone.

    Of length 0, it has vectors of the norms instead of keys and values.
    """
    rng = np.random.default_rng(seed)
    spec = PrefixSpec(
        problem_type="single_label_classification",
        labels=tuple(f"label-{number}" for number in range(NUM_LABELS)),
        method="prefix" if length else "vectors",
        rank=rank,
        prefix_length=length,
        position_offset=length,
        max_length=facts.max_positions - length,
        head=HeadSpec(pooling="mean"),
        backbone=facts,
    )
    shapes = expected_shapes(spec)
    tensors = {
        name: rng.standard_normal(shape, dtype=np.float32) / 10 for name, shape in shapes.items()
    }
    return Prefix(spec, tensors)
