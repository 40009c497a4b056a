"""Rounds: in which order contenders run, and what becomes of one that fails."""

from collections.abc import Callable
from functools import partial

from bench.rounds import alternate, orders


class OutOfOrder(Exception):
    """The error of contenders that fail in these tests."""


def counting(calls: list[str], name: str, fail_at: int | None = None) -> float:
    calls.append(name)
    if calls.count(name) == fail_at:
        raise OutOfOrder(f"{name} broke")
    return float(calls.count(name))


def contenders(calls: list[str], **fail_at: int | None) -> dict[str, Callable[[], float]]:
    return {name: partial(counting, calls, name, at) for name, at in fail_at.items()}


def ignore(_: str) -> None:
    """Report nothing."""


def test_every_round_has_all_contenders_and_nobody_is_always_first() -> None:
    rounds = list(orders(["a", "b", "c", "d"], 4))
    assert all(sorted(each) == ["a", "b", "c", "d"] for each in rounds)
    assert len({each[0] for each in rounds}) > 1
    assert len({tuple(each) for each in rounds}) == 4


def test_the_round_that_warms_up_does_not_count() -> None:
    calls: list[str] = []
    values, reasons = alternate(
        contenders(calls, a=None, b=None), 2, failure=OutOfOrder, report=ignore
    )
    assert values == {"a": [2.0, 3.0], "b": [2.0, 3.0]}
    assert not reasons


def test_whoever_fails_is_out_with_its_reason_and_the_others_go_on() -> None:
    calls: list[str] = []
    values, reasons = alternate(
        contenders(calls, a=None, b=2), 3, failure=OutOfOrder, report=ignore
    )
    assert values == {"a": [2.0, 3.0, 4.0]}
    assert reasons == {"b": "b broke"}
    assert calls.count("b") == 2
