"""Runner: runs batches on the device, and keeps one request's failure from reaching another."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prefixes.backbone import Backbone, MixedBatch, PackedBatch, ResidentPrefix
from prefixes.encoded import EncodedText
from server.errors import InferenceFailed

_log = logging.getLogger(__name__)

Outputs = NDArray[np.float32]
Job = tuple[EncodedText, ResidentPrefix]


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of each job of a batch, and how long the device took, in seconds."""

    rows: tuple[Outputs | InferenceFailed, ...]
    device_seconds: float
    was_split: bool


class Runner:
    """Runs batches on the one device. Each of its streams may run one at the same time."""

    def __init__(self, backbone: Backbone, pool: Tensor) -> None:
        self._backbone = backbone
        self._pool = pool

    def pack(self, jobs: Sequence[Job]) -> MixedBatch | None:
        """Prepare a batch; any thread may do it while another batch runs.

        None when that fails: `run` finds the culprit.
        """
        try:
            return MixedBatch.pack(self._backbone, jobs)
        except Exception:  # noqa: BLE001 - as in `run`; logged, and told apart there
            _log.exception("A batch of %d could not be packed; trying it in halves", len(jobs))
            return None

    def run(self, jobs: Sequence[Job], packed: MixedBatch | None) -> BatchResult:
        """Run a prepared batch; if it fails, run it in halves until the culprit is alone."""
        started = time.perf_counter()
        try:
            rows, was_split = self._outputs(jobs, packed), False
        except Exception as error:  # noqa: BLE001 - whatever it is, neighbours must get answers
            rows, was_split = self._run_halves(jobs, error), True
        return BatchResult(tuple(rows), time.perf_counter() - started, was_split)

    def probe(self) -> None:
        """Run a few tokens without any prefix; raises what the device raises."""
        row = self._backbone.row(EncodedText((0, 0, 0), (0, 0, 0)))
        with torch.inference_mode():
            hidden = self._backbone(PackedBatch.pack([row], self._backbone.device), self._pool)
        if not bool(torch.isfinite(hidden).all()):
            raise InferenceFailed("The backbone gave numbers that are not finite")

    def _run_halves(self, jobs: Sequence[Job], error: Exception) -> list[Outputs | InferenceFailed]:
        if len(jobs) == 1:
            # What a device says of itself, as how much memory others take, is for the log alone.
            _log.warning("an input could not be computed", exc_info=error)
            return [_failure(type(error).__name__)]
        middle = len(jobs) // 2
        rows: list[Outputs | InferenceFailed] = []
        for half in (jobs[:middle], jobs[middle:]):
            try:
                rows += self._outputs(half)
            except Exception as cause:  # noqa: BLE001 - as above
                rows += self._run_halves(half, cause)
        return rows

    def _outputs(
        self, jobs: Sequence[Job], packed: MixedBatch | None = None
    ) -> list[Outputs | InferenceFailed]:
        batch = packed if packed is not None else MixedBatch.pack(self._backbone, jobs)
        outputs = [values.numpy() for values in batch.outputs(self._backbone, self._pool)]
        return [
            values if np.isfinite(values).all() else _failure("the outputs are not finite numbers")
            for values in outputs
        ]


def _failure(reason: str) -> InferenceFailed:
    return InferenceFailed(f"The model could not compute this input: {reason}")
