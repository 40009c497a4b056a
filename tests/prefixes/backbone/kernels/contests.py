"""Contests with made-up candidates."""

import torch

from prefixes.backbone.kernels.contest import Call, Candidate, Contest, Workload

CPU = torch.device("cpu")


class CountedCandidate:
    """A candidate that returns the same number at every call, and counts its calls.

    It adds its name to `calls` at each one.
    """

    def __init__(
        self,
        name: str,
        result: float = 1.0,
        error: Exception | None = None,
        calls: list[str] | None = None,
    ) -> None:
        self.name = name
        self._calls = calls
        self.num_calls = 0
        self._result = result
        self._error = error

    def prepare(self) -> list[Call]:
        if self._error is not None:
            raise self._error
        return [self._call, self._call]

    def _call(self) -> list[torch.Tensor]:
        self.num_calls += 1
        if self._calls is not None:
            self._calls.append(self.name)
        return [torch.tensor([self._result])]


def contest_of(
    *candidates: CountedCandidate,
    tolerance: float = 1e-3,
    operation: str = "linear",
    min_speedup: float = 1.05,
) -> Contest:
    return Contest(
        operation,
        [Workload("a short text"), Workload("a batch", 1)],
        [Candidate(one.name, one.prepare) for one in candidates],
        tolerance=tolerance,
        seconds=0.1,
        min_speedup=min_speedup,
    )
