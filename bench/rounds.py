"""Rounds: each runs every contender once, in a different order."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

Name = TypeVar("Name")
Value = TypeVar("Value")

_PAUSE: Final = 0.05
"""Seconds between two contenders, within which threads that spin for more work stop."""


def orders(names: Sequence[Name], rounds: int) -> Iterator[list[Name]]:
    """Return the order of each round: rotated each time, and reversed in every second round."""
    for number in range(rounds):
        turn = number * len(names) // max(rounds, 1)
        order = [*names[turn:], *names[:turn]]
        yield order if number % 2 == 0 else order[::-1]


def alternate(
    contenders: Mapping[Name, Callable[[], Value]],
    rounds: int,
    *,
    failure: type[Exception],
    report: Callable[[Name], None],
) -> tuple[dict[Name, list[Value]], dict[Name, str]]:
    """Measure every contender once per round, after a warm-up round that is not counted.

    Returns:
        The values of each contender, one per round; and the reasons of those that failed. A
        contender that fails is excluded.
    """
    values: dict[Name, list[Value]] = {name: [] for name in contenders}
    reasons: dict[Name, str] = {}
    for number, order in enumerate(orders(list(contenders), rounds + 1)):
        for name in order:
            if name in reasons:
                continue
            report(name)
            time.sleep(_PAUSE)
            try:
                value = contenders[name]()
            except failure as error:
                reasons[name] = str(error)
                del values[name]
            else:
                if number > 0:
                    values[name].append(value)
    return values, reasons
