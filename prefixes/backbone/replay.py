"""Golden replay: does a prefix give here the logits that its trainer saw?"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from prefixes.findings import Finding
from prefixes.spec import PrefixSpec

TOLERANCES: Final = {torch.float32: 1e-3, torch.bfloat16: 6e-2}
"""Largest allowed difference of a logit, relative to 1 + the largest golden logit's magnitude; of
an embedding the distance, relative to its length, for all its numbers may be small.

Wide enough for another processor's order of summation and narrow enough that a wrong weight,
position or head shows."""


def replay_findings(
    spec: PrefixSpec, logits: Sequence[NDArray[np.float32]], dtype: torch.dtype
) -> tuple[Finding, ...]:
    """Hold the logits of the golden examples, computed here, against those in the file.

    All outputs of an example are in one row, `[outputs of all its texts and tokens]`.
    """
    findings = []
    for number, (example, found) in enumerate(zip(spec.golden, logits, strict=True)):
        expected = np.array(example.logits)
        if found.shape != expected.shape:
            findings.append(
                Finding(
                    "golden_mismatch",
                    f"spec.golden.{number}",
                    f"{len(expected)} logits, as in the file",
                    f"{len(found)}",
                    "the file's tokenizer or template is another than the trainer's",
                )
            )
            continue
        difference, scale = _difference(spec, expected, found)
        allowed = TOLERANCES[dtype] * scale
        if not difference <= allowed:  # also true of NaN
            findings.append(
                Finding(
                    "golden_mismatch",
                    f"spec.golden.{number}",
                    f"the file's logits within {allowed:.2g}",
                    f"a difference of {difference:.2g}",
                    "the file's tensors or description changed after training, or this backbone "
                    "computes something else",
                )
            )
    return tuple(findings)


def _difference(
    spec: PrefixSpec, expected: NDArray[np.float64], found: NDArray[np.float32]
) -> tuple[float, float]:
    """Measure how far outputs are from those in the file, and what that is relative to."""
    if spec.task_type == "embedding":
        return float(np.linalg.norm(expected - found)), float(np.linalg.norm(expected))
    return float(np.abs(expected - found).max()), 1 + float(np.abs(expected).max())
