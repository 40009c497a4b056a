"""Checks the results of a contest's candidates, and measures how long they take."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import torch
from torch import Tensor

from prefixes.backbone.kernels.contest import Call, Candidate, Contest, Figures, Workload

_MIN_ROUNDS: Final = 3
"""On a busy machine, a single round says nothing, and the budget may be spent before it."""

_MAX_ROUNDS: Final = 50


def measure(contest: Contest, device: torch.device) -> Figures:
    """Measure the candidates that run here and agree with the reference.

    They alternate, so that other programs disturb all of them equally. Autograd is left as it is,
    for candidates that compute gradients.
    """
    end = time.perf_counter() + contest.seconds
    calls, excluded = prepare(contest)
    if len(calls) == 1:
        return Figures({}, excluded)
    share = (end - time.perf_counter()) / len(contest.workloads)
    rounds: dict[str, list[list[float]]] = {name: [] for name in calls}
    for workload, own in zip(contest.workloads, zip(*calls.values(), strict=True), strict=True):
        with _threads(workload.num_threads):
            times = _time(own, device, share)
        for name, seconds in zip(calls, times, strict=True):
            rounds[name].append(seconds)
    return Figures(dict(rounds), excluded)


def prepare(contest: Contest) -> tuple[dict[str, Sequence[Call]], dict[str, str]]:
    """Run each workload once. Return the calls of each candidate, or why it was excluded.

    The first call of a kernel includes its setup.
    """
    calls: dict[str, Sequence[Call]] = {}
    excluded: dict[str, str] = {}
    expected: Sequence[Sequence[Tensor]] = ()
    for candidate in contest.candidates:
        try:
            prepared, results = _first_results(candidate, contest.workloads)
        except (RuntimeError, AttributeError) as error:
            if candidate.name == contest.reference:
                raise
            excluded[candidate.name] = str(error).strip().partition("\n")[0]
            continue
        expected = expected or results
        difference = _largest_difference(results, expected)
        if not difference <= contest.tolerance:  # also true of NaN
            excluded[candidate.name] = f"its results differ by {difference:.2g}"
        else:
            calls[candidate.name] = prepared
    return calls, excluded


def _first_results(
    candidate: Candidate, workloads: Sequence[Workload]
) -> tuple[Sequence[Call], Sequence[Sequence[Tensor]]]:
    calls = candidate.prepare()
    results = []
    for workload, call in zip(workloads, calls, strict=True):
        with _threads(workload.num_threads):
            results.append(call())
    return calls, results


def _largest_difference(
    found: Sequence[Sequence[Tensor]], expected: Sequence[Sequence[Tensor]]
) -> float:
    """Return the largest difference of a result, relative to its largest magnitude; or NaN."""
    differences = [
        (ours.float() - theirs.float()).abs().max() / theirs.float().abs().max()
        for own, other in zip(found, expected, strict=True)
        for ours, theirs in zip(own, other, strict=True)
    ]
    return float(torch.stack(differences).max())


def _time(calls: Sequence[Call], device: torch.device, budget: float) -> list[list[float]]:
    """Time the calls of all candidates at one workload, in rounds."""
    seconds: list[list[float]] = [[] for _ in calls]
    order = list(zip(calls, seconds, strict=True))
    end = time.perf_counter() + budget
    for num_done in range(1, _MAX_ROUNDS + 1):
        for call, times in order:
            times.append(_seconds_of(call, device))
        order.reverse()  # a candidate finds its inputs in the cache if another one ran before
        if num_done >= _MIN_ROUNDS and time.perf_counter() > end:
            break
    return seconds


def _seconds_of(call: Call, device: torch.device) -> float:
    started = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter() - started


@contextmanager
def _threads(num: int | None) -> Iterator[None]:
    """Use another number of CPU threads for a while."""
    before = torch.get_num_threads()
    if num is None or num == before:
        yield
        return
    torch.set_num_threads(num)
    try:
        yield
    finally:
        torch.set_num_threads(before)
