"""Calibration: one temperature per prefix, so that its probabilities match its accuracy.

Temperature scaling of Guo et al., "On Calibration of Modern Neural Networks" (arXiv:1706.04599):
outputs are divided by the temperature under which the validation rows are most likely. The head's
output layer is divided by it, so the file needs no field for it and every server applies it.
Answers do not change, only their probabilities.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch import Tensor

from prefixes import Prefix, PrefixSpec
from prefixes.answers import whole_outputs
from prefixes.backbone import Backbone, EncodedInput
from prefixes.lengths import AS_SERVED
from training.data.encoding import encode_rows
from training.data.tokenized import pieces_of
from training.examples import Examples
from training.learning.evaluate import outputs_of
from training.tasks import Outputs, Piece, Scale, definition_of

_LOG_BOUNDS: Final = (-3.0, 3.0)
"""Bounds of the log temperature: from a twentieth to twenty."""

_OUTPUT_LAYER: Final = ("head.output.weight", "head.output.bias")


@dataclass(frozen=True, slots=True, eq=False)
class CalibratedPrefix:
    """A calibrated prefix, and the temperature that its outputs were divided by."""

    prefix: Prefix
    temperature: float


def calibrate(
    backbone: Backbone, prefix: Prefix, examples: Examples[Any], *, tokens_per_batch: int
) -> CalibratedPrefix | None:
    """Calibrate a prefix on examples that it has not learned from.

    If the task reads long texts in windows, the probabilities that are merged from those of the
    windows are calibrated, because these are served.

    Returns:
        None for tasks without probabilities of labels or choices.
    """
    spec = prefix.spec
    definition = definition_of(spec.task_type)
    if not definition.has_probabilities(spec):
        return None
    windows = encode_rows(backbone, spec, examples, AS_SERVED)
    found = outputs_of(backbone, prefix, windows, tokens_per_batch=tokens_per_batch)
    long_rows = windows.long_rows()
    pieces = pieces_of(spec, examples, windows.whole(), Scale())
    targets = [piece.target for piece in pieces]

    def surprise(log_temperature: float) -> float:
        """Return the negative log likelihood, plus that of a log temperature from N(0, 1).

        If all rows are answered correctly, a lower temperature is always more likely. Without the
        second term, ten such rows would make every answer certain.
        """
        served = _served_outputs(spec, found, long_rows, float(np.exp(log_temperature)))
        outputs = list(_by_piece(pieces, served))
        return float(definition.loss(spec, outputs, targets)) + log_temperature**2 / 2

    fitted = minimize_scalar(
        surprise, bounds=_LOG_BOUNDS, method="bounded", options={"xatol": 1e-8}
    )
    temperature = float(np.exp(fitted.x))
    return CalibratedPrefix(_divided(prefix, temperature), temperature)


def _served_outputs(
    spec: PrefixSpec,
    outputs: Sequence[Outputs],
    long_rows: Mapping[int, EncodedInput],
    temperature: float,
) -> Iterator[Sequence[NDArray[np.floating[Any]]]]:
    """Divide the outputs of rows, and merge those of the windows of each long text after that.

    The mean of probabilities is not that of the logits, so no other order has the same result.
    """
    for place, values in enumerate(outputs):
        if place in long_rows:
            divided = [(one / temperature).astype(np.float32) for one in values]
            yield whole_outputs(spec, long_rows[place], divided)
        else:
            # In float64: a float32 sum is so flat near the minimum that rounding would decide.
            yield [one.astype(np.float64) / temperature for one in values]


def _by_piece(
    pieces: Sequence[Piece], outputs: Iterable[Sequence[NDArray[np.floating[Any]]]]
) -> Iterator[list[Tensor]]:
    flat = (torch.from_numpy(values).double() for texts in outputs for values in texts)
    for piece in pieces:
        yield [next(flat) for _ in piece.texts]


def _divided(prefix: Prefix, temperature: float) -> Prefix:
    layer = {
        name: (prefix.tensors[name] / temperature).astype(prefix.tensors[name].dtype)
        for name in _OUTPUT_LAYER
    }
    return dataclasses.replace(prefix, tensors={**prefix.tensors, **layer})
