"""The number of cores is that of the process where the system says it."""

import math
import os

import pytest

from prefixes.cores import num_usable_cores


def test_a_process_uses_the_cores_that_it_is_limited_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 5, 7}, raising=False)
    assert num_usable_cores() == 3


@pytest.mark.parametrize(("count", "expected"), [(8, 8), (None, 1)])
def test_without_limits_as_on_macos_all_cores_count(
    count: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert num_usable_cores() == expected


@pytest.mark.parametrize(
    ("quota", "expected"), [(2.0, 2), (1.5, 2), (0.25, 1), (64.0, 64), (200.0, 64), (math.inf, 64)]
)
def test_a_quota_counts_as_the_cores_whose_time_it_allows(
    quota: float, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)), raising=False)
    monkeypatch.setattr("prefixes.cores.cpu_quota", lambda: quota)
    assert num_usable_cores() == expected
