"""Golden replay: comparing a prefix's logits with those that its trainer computed."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prefixes.backbone.encoder import Backbone
from prefixes.backbone.resident import ResidentPrefix, run_mixed
from prefixes.findings import Finding
from prefixes.spec import PrefixSpec

TOLERANCES: Final = {
    torch.float32: 1e-3,
    torch.float16: 1e-2,
    torch.bfloat16: 6e-2,
    torch.int8: 1e-1,
}
"""Maximum difference of a logit, relative to 1 + the largest magnitude of the golden logits. For an
embedding, whose numbers may all be small: the distance, relative to the embedding's length.

The values allow for another processor's order of summation, but detect a wrong weight, position or
head. Decision record 11 has the measurements for int8."""


def golden_outputs(
    backbone: Backbone, pool: Tensor, resident: ResidentPrefix
) -> list[NDArray[np.float32]]:
    """Run the golden examples of a resident prefix, one at a time.

    Returns:
        All outputs of each example in one row, as `replay_findings` expects them.
    """
    fields = [example.fields for example in resident.spec.golden]
    encoded = backbone.texts.encode(resident.spec, fields)
    return [
        torch.cat(
            [x.flatten() for x in run_mixed(backbone, pool, [(text, resident) for text in texts])]
        ).numpy()
        for texts in encoded
    ]


def drifts(spec: PrefixSpec, logits: Sequence[NDArray[np.float32]]) -> list[float]:
    """Return for each golden example the relative difference of its outputs from the file's."""
    each = (
        _difference(spec, np.array(example.logits), found)
        for example, found in zip(spec.golden, logits, strict=True)
    )
    return [difference / scale for difference, scale in each]


def replay_findings(
    spec: PrefixSpec, logits: Sequence[NDArray[np.float32]], precision: torch.dtype
) -> tuple[Finding, ...]:
    """Compare the logits of the golden examples, computed here, with those in the file.

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
                    "the tokenizer or the template differs from the trainer's",
                )
            )
            continue
        difference, scale = _difference(spec, expected, found)
        allowed = TOLERANCES[precision] * scale
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
    """Return the difference of outputs from those in the file, and the scale to compare it with."""
    if spec.task_type == "embedding":
        return float(np.linalg.norm(expected - found)), float(np.linalg.norm(expected))
    return float(np.abs(expected - found).max()), 1 + float(np.abs(expected).max())
