"""Numbered versions: tasks whose every answer says which version gave it."""

from typing import Final

import numpy as np

from prefixes import BackboneFingerprint, Prefix
from tests.factories import make_prefix, with_tensors

MAX_VERSIONS: Final = 200
_CERTAIN: Final = 50.0


def label_of(version: int) -> str:
    """The label that a version answers with, whatever the text."""
    return f"version-{version}"


def numbered_prefix(backbone: BackboneFingerprint, version: int) -> Prefix:
    """Make a classifier that always answers with the label of its version."""
    labels = tuple(label_of(number) for number in range(1, MAX_VERSIONS + 1))
    prefix = make_prefix(backbone, seed=version, labels=labels)
    bias = np.zeros(MAX_VERSIONS, np.float32)
    bias[version - 1] = _CERTAIN
    weight = np.zeros_like(prefix.tensors["head.output.weight"])
    return with_tensors(prefix, {"head.output.bias": bias, "head.output.weight": weight})
