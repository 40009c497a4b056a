"""Runner: runs batches on the device, and isolates the input that makes a batch fail."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prefixes.backbone import Backbone, MixedBatch, ResidentPrefix
from prefixes.encoded import EncodedText
from server.errors import InferenceFailed

_log = logging.getLogger(__name__)

Outputs = NDArray[np.float32]
Job = tuple[EncodedText, ResidentPrefix]


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The outputs or the failure of each job, and the seconds that the device took.

    `was_split` says that the batch failed and ran again in halves.
    """

    rows: tuple[Outputs | InferenceFailed, ...]
    device_seconds: float
    was_split: bool


class Runner:
    """Runs batches on one device, at the same time on each of its streams."""

    def __init__(self, backbone: Backbone, pool: Tensor) -> None:
        self._backbone = backbone
        self._pool = pool

    def pack(self, jobs: Sequence[Job]) -> MixedBatch | None:
        """Prepare a batch on any thread, while another batch runs.

        Returns None when that fails; `run` then finds the job that is at fault.
        """
        try:
            return MixedBatch.pack(self._backbone, jobs)
        except Exception:  # noqa: BLE001 - `run` meets the same error and handles it
            _log.exception("packing a batch of %d inputs failed; it runs in halves", len(jobs))
            return None

    def run(self, jobs: Sequence[Job], packed: MixedBatch | None) -> BatchResult:
        """Run a batch; if it fails, run it in halves until the failing jobs are alone."""
        started = time.perf_counter()
        try:
            rows, was_split = self._outputs(jobs, packed), False
        except Exception as error:  # noqa: BLE001 - whatever fails, the other jobs must get answers
            rows, was_split = self._run_halves(jobs, error), True
        return BatchResult(tuple(rows), time.perf_counter() - started, was_split)

    def probe(self) -> None:
        """Run a few tokens without a prefix. Errors of the device pass through."""
        row = self._backbone.row(EncodedText((0, 0, 0), (0, 0, 0)))
        with torch.inference_mode():
            hidden = self._backbone(self._backbone.pack([row]), self._pool)
        if not bool(torch.isfinite(hidden).all()):
            raise InferenceFailed("The backbone's outputs are not finite numbers")

    def _run_halves(self, jobs: Sequence[Job], error: Exception) -> list[Outputs | InferenceFailed]:
        if len(jobs) == 1:
            # Only the log gets the device's own message, because it describes the whole server.
            _log.warning("the forward pass failed for an input", exc_info=error)
            return [_failure(type(error).__name__)]
        # Logged here too: if both halves succeed, as after running out of memory, nothing else is.
        _log.warning("a batch of %d inputs failed; it runs in halves", len(jobs), exc_info=error)
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
    return InferenceFailed(f"The forward pass failed for this input: {reason}")
