"""The soak: faults one after the other under traffic, and what must hold meanwhile."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Final

from tests.chaos import rules
from tests.chaos.faults import Fault
from tests.chaos.publishing import Publisher
from tests.chaos.report import Report, errors_by_kind
from tests.chaos.rules import Outage, Published, Verdict
from tests.chaos.traffic import Traffic

_POLL: Final = 0.05
_PATIENCE: Final = 600.0
"""Seconds to wait for recovery: a server takes a minute to start on a very busy machine."""

_NUM_THREADS: Final = 4


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long a soak lasts, how long each fault lasts, and the time between two of them.

    Each fault occurs at least once.
    """

    seconds: float
    hold: float
    every: float


@dataclass(slots=True, eq=False)
class Soak:
    """Servers under traffic, a publisher, and faults that occur in turn.

    `absent` has the faults that this machine cannot inject, and why. `current` is the fault of the
    moment.
    """

    traffic: Traffic
    publisher: Publisher
    faults: Sequence[Fault]
    absent: Mapping[str, str] = field(default_factory=dict)
    recoveries: dict[str, list[float]] = field(default_factory=dict)
    current: str = ""
    _outages: list[Outage] = field(default_factory=list)
    _start: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """The time since the start."""
        return time.monotonic() - self._start

    def run(self, schedule: Schedule, tell: Callable[[str], None] = print) -> Report:
        """Inject faults, and check all that was seen."""
        self._start = time.monotonic()
        self.traffic.start(_NUM_THREADS)
        self.publisher.start()
        try:
            self._inject_all(schedule, tell)
        finally:
            self.publisher.stop()
            self.traffic.stop()
        return self._report()

    def _inject_all(self, schedule: Schedule, tell: Callable[[str], None]) -> None:
        for turn, fault in enumerate(cycle(self.faults)):
            is_over = self.seconds + schedule.every > schedule.seconds
            if turn >= len(self.faults) and is_over:
                break
            next_turn = time.monotonic() + schedule.every
            seconds = self._suffer(fault, schedule.hold)
            tell(f"{fault.name}: recovered after {seconds:.1f} s")
            time.sleep(max(0.0, next_turn - time.monotonic()))
        time.sleep(max(0.0, schedule.seconds - self.seconds))

    def _suffer(self, fault: Fault, hold: float) -> float:
        """Inject a fault and end it; return the seconds until every server answers again."""
        self.current = fault.name
        start = time.monotonic()
        fault.inject()
        time.sleep(hold)
        fault.heal()
        healed = time.monotonic()
        self._wait_for_recovery(healed + _PATIENCE)
        seconds = time.monotonic() - healed
        if fault.ends is not None:
            self._outages.append(Outage(fault.ends, start, time.monotonic()))
        self.recoveries.setdefault(fault.kind, []).append(seconds)
        self.current = ""
        return seconds

    def _wait_for_recovery(self, deadline: float) -> None:
        """Wait until every server answers with the newest acknowledged version."""
        with self.traffic.client() as client:
            for server in range(len(self.traffic.servers)):
                while time.monotonic() < deadline:
                    question = self.traffic.newest(server)
                    if self.traffic.send(client, question).status == 200:
                        break
                    time.sleep(_POLL)

    def _report(self) -> Report:
        replies = self.traffic.replies
        return Report(
            seconds=self.seconds,
            num_requests=len(replies),
            num_published=len(self.publisher.acknowledged),
            num_unacknowledged=len(self.publisher.unacknowledged),
            errors=errors_by_kind(replies),
            recoveries=self.recoveries,
            absent=self.absent,
            verdicts=self._verdicts(),
        )

    def _verdicts(self) -> list[Verdict]:
        replies, published = self.traffic.replies, self._published()
        return [
            rules.answers_are_right(replies, published),
            rules.no_version_is_older(replies),
            rules.nothing_is_lost(published),
            rules.errors_are_retriable(replies),
            rules.only_killed_servers_are_away(replies, self._outages),
            rules.recovery_is_fast(self.recoveries),
        ]

    def _published(self) -> Published:
        publisher = self.publisher
        with publisher.client() as client:
            listed = {
                server: publisher.versions(client, server)
                for server in range(len(publisher.servers))
            }
        numbers = {one.version: one.number for one in publisher.acknowledged}
        return Published(numbers, publisher.unacknowledged, listed)
