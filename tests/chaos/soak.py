"""The soak: faults one after the other under traffic, and what must hold meanwhile."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Final

import httpx

from tests.chaos.faults import Fault
from tests.chaos.publishing import Publisher
from tests.chaos.traffic import Reply, Traffic

MAX_RECOVERY: Final = 10.0
"""Seconds after the end of a fault within which every server must answer."""

_CALM: Final = 1.0
_HOLD: Final = 2.0
_POLL: Final = 0.05
_NUM_THREADS: Final = 3


@dataclass(slots=True)
class Report:
    """Responses, recoveries, and every problem."""

    problems: list[str] = field(default_factory=list)
    recoveries: dict[str, float] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)
    num_published: int = 0


@dataclass(frozen=True, slots=True)
class _Outage:
    """A server was away between two moments."""

    server: int
    start: float
    end: float

    def explains(self, reply: Reply) -> bool:
        return reply.server == self.server and self.start - 30.0 <= reply.sent_at <= self.end


class Soak:
    """Servers under traffic, a publisher, and faults that occur in turn."""

    def __init__(self, traffic: Traffic, publisher: Publisher, faults: Sequence[Fault]) -> None:
        self._traffic = traffic
        self._publisher = publisher
        self._faults = faults
        self._outages: list[_Outage] = []
        self._report = Report()

    def run(self, seconds: float, report: Callable[[str], None] = print) -> Report:
        """Inject faults for so many seconds, each at least once, and check everything."""
        self._traffic.start(_NUM_THREADS)
        self._publisher.start()
        end = time.monotonic() + seconds
        try:
            for turn, fault in enumerate(cycle(self._faults)):
                if turn >= len(self._faults) and time.monotonic() >= end:
                    break
                self._suffer(fault, report)
        finally:
            self._publisher.stop()
            self._traffic.stop()
        self._check_replies()
        self._check_versions()
        return self._report

    def _suffer(self, fault: Fault, report: Callable[[str], None]) -> None:
        time.sleep(_CALM)
        report(fault.name)
        start = time.monotonic()
        fault.inject()
        time.sleep(_HOLD)
        fault.heal()
        seconds = self._wait_for_recovery()
        if fault.kills is not None:
            self._outages.append(_Outage(fault.kills, start, time.monotonic()))
        longest = self._report.recoveries.get(fault.name, 0.0)
        self._report.recoveries[fault.name] = max(longest, seconds)
        if seconds > MAX_RECOVERY:
            self._report.problems.append(f"{fault.name}: recovery took {seconds:.1f} s")

    def _wait_for_recovery(self) -> float:
        """Wait until every server answers again; return the seconds that it took."""
        start = time.monotonic()
        for server in self._traffic.servers:
            while not self._answers(server.url) and time.monotonic() < start + 6 * MAX_RECOVERY:
                time.sleep(_POLL)
        return time.monotonic() - start

    def _answers(self, url: str) -> bool:
        headers = {"Authorization": f"Bearer {self._traffic.key}"}
        body = {"model": self._traffic.tasks[0], "input": "good"}
        try:
            return httpx.post(f"{url}/v1/classify", json=body, headers=headers).status_code == 200
        except httpx.TransportError:
            return False

    def _check_replies(self) -> None:
        report = self._report
        for reply in self._traffic.replies:
            report.statuses[reply.status] += 1
            if reply.problem is not None:
                report.problems.append(reply.problem)
            if reply.is_lost and not any(one.explains(reply) for one in self._outages):
                report.problems.append(f"server {reply.server} dropped a request without a kill")

    def _check_versions(self) -> None:
        """Compare what was acknowledged with what each server has."""
        publisher = self._publisher
        self._report.num_published = len(publisher.acknowledged)
        with publisher.client() as client:
            for server in self._traffic.servers:
                lost = set(publisher.acknowledged) - set(publisher.versions(client, server))
                if lost:
                    self._report.problems.append(f"acknowledged versions were lost: {lost}")
