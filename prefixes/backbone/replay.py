"""Golden replay: does a prefix give here the logits that its trainer saw?"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from prefixes.findings import Finding
from prefixes.spec import PrefixSpec

TOLERANCES: Final = {torch.float32: 1e-3, torch.bfloat16: 6e-2}
"""Largest allowed difference of a logit, relative to 1 + the largest golden logit's magnitude.

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
        expected = np.array(example.logits, dtype=np.float32)
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
        allowed = TOLERANCES[dtype] * (1 + float(np.abs(expected).max()))
        difference = float(np.abs(expected - found).max())
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
