"""Rounds: every contender once in each, in another order every time."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

Name = TypeVar("Name")
Value = TypeVar("Value")

_PAUSE: Final = 0.05
"""Seconds between two contenders: threads that spin while they wait for more work stop by then."""


def orders(names: Sequence[Name], rounds: int) -> Iterator[list[Name]]:
    """Give the order of each round: a turn further each time, every second one backwards."""
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
    """Measure every contender once a round, after a round that does not count.

    Returns:
        The values of each contender, one a round; and why the others have none: whoever fails
        once is out.
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
