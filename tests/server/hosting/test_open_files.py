"""The limit of open files is raised as far as the system allows, and never stops a start."""

import resource

import pytest

from server.hosting.open_files import raise_open_file_limit

UNLIMITED = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ((1024, 4096), 4096),
        ((1024, 1_000_000), 65_536),
        ((256, UNLIMITED), 65_536),
        ((100_000, 1_000_000), 100_000),
        ((UNLIMITED, UNLIMITED), 65_536),
    ],
)
def test_the_limit_is_raised(
    limits: tuple[int, int], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda kind: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda kind, new: raised.append(new))
    assert raise_open_file_limit() == expected
    is_enough = limits[0] == UNLIMITED or limits[0] >= expected
    assert raised == ([] if is_enough else [(expected, limits[1])])


@pytest.mark.parametrize("error", [ValueError("current limit exceeds maximum limit"), OSError()])
def test_a_system_that_refuses_keeps_its_limit(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(kind: int, new: tuple[int, int]) -> None:
        raise error

    monkeypatch.setattr(resource, "getrlimit", lambda kind: (256, UNLIMITED))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert raise_open_file_limit() == 256
