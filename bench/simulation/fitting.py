"""Fitting: the times of batches and of the event loop from measured totals."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy.optimize import nnls

from bench.simulation.service_times import BatchTimes, LoadTimes

_QUANTILES: Final = 41


@dataclass(frozen=True, slots=True)
class MeasuredBatch:
    """A batch that ran on the device."""

    rows: int
    tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class MeasuredLoad:
    """Totals of a server while it answered requests. CPU times are in seconds.

    `loads` are the prefixes that it loaded, and `load_seconds` is the sum of their times.
    """

    requests: int
    batches: int
    rows: int
    tokens: int
    cpu: float
    loads: int = 0
    load_seconds: float = 0.0


def fit_batches(measured: Sequence[MeasuredBatch]) -> BatchTimes:
    """Fit the times by their relative errors, so that short batches count as much as long ones."""
    seconds = np.array([one.seconds for one in measured])
    sizes = np.array([[1.0, one.rows, one.tokens] for one in measured])
    fixed, per_row, per_token = nnls(sizes / seconds[:, None], np.ones(len(seconds)))[0]
    ratios = seconds / (sizes @ [fixed, per_row, per_token])
    spread = np.quantile(ratios, np.linspace(0.0, 1.0, _QUANTILES))
    return BatchTimes(float(fixed), float(per_row), float(per_token), spread.tolist())


def relative_error(measured: Sequence[MeasuredBatch], times: BatchTimes) -> float:
    """Return the median relative error of fitted times."""
    errors = [abs(times.seconds(one.rows, one.tokens) / one.seconds - 1) for one in measured]
    return float(np.median(errors))


def fit_loop(loads: Sequence[MeasuredLoad], batch: BatchTimes) -> tuple[float, float]:
    """Return the CPU seconds of the event loop for each request, and for each batch."""
    totals = np.array([_cpu_without_batches(load, batch) for load in loads])
    counts = np.array([[load.requests, load.batches] for load in loads], dtype=np.float64)
    weights = 1 / counts[:, :1]  # so that a load counts as much as one of a higher rate
    per_request, per_batch = nnls(counts * weights, totals * weights[:, 0])[0]
    return float(per_request), float(per_batch)


def fit_load(
    measured: MeasuredLoad, batch: BatchTimes, per_request: float, alone: LoadTimes
) -> LoadTimes:
    """Return the times of loads in a server that answers requests.

    Args:
        measured: totals of a server that loaded prefixes.
        batch: the times of its batches, including what the event loop does for each.
        per_request: CPU seconds of its event loop for each request.
        alone: times of the same loads on one thread, without a server.
    """
    loading = _cpu_without_batches(measured, batch) - per_request * measured.requests
    cpu = max(loading / measured.loads, alone.store_cpu + alone.device_cpu)
    seconds = max(measured.load_seconds / measured.loads, alone.store + alone.device)
    return replace(alone, store=seconds - alone.device, store_cpu=cpu - alone.device_cpu)


def _cpu_without_batches(load: MeasuredLoad, batch: BatchTimes) -> float:
    rows = batch.per_row * load.rows + batch.per_token * load.tokens
    return load.cpu - batch.fixed * load.batches - rows
