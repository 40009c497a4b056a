"""Numbered prefixes: every answer says which file gave it, and with which tensors."""

from typing import Final

import numpy as np

from prefixes import BackboneFingerprint, Prefix
from tests.factories import make_prefix, with_tensors

_NUM_LABELS: Final = 16
_CERTAIN: Final = 50.0


def label_of(number: int) -> str:
    """Return the label with which the file of a number answers any text.

    The part before the colon depends on the labels of the file, and the other part on its tensors.
    An answer with the tensors of another file has the label of no file.
    """
    return f"{number}:{number % _NUM_LABELS}"


def number_of(label: str) -> int | None:
    """Return the number of the file that gave a label; None: no file gives it."""
    number = label.partition(":")[0]
    return int(number) if number.isdecimal() and label_of(int(number)) == label else None


def numbered_prefix(backbone: BackboneFingerprint, number: int) -> Prefix:
    """Make a classifier that always answers with the label of its number."""
    labels = tuple(f"{number}:{place}" for place in range(_NUM_LABELS))
    prefix = make_prefix(backbone, seed=number, labels=labels)
    bias = np.zeros(_NUM_LABELS, np.float32)
    bias[number % _NUM_LABELS] = _CERTAIN
    weight = np.zeros_like(prefix.tensors["head.output.weight"])
    return with_tensors(prefix, {"head.output.bias": bias, "head.output.weight": weight})
