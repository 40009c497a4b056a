"""Cluster: replicas behind a router, with incidents, under the traffic of a simulation."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from bench.simulation.events import Events
from bench.simulation.incidents import Addition, Crash, Incident
from bench.simulation.replica import Replica, ReplicaLimits, Request
from bench.simulation.results import Run
from bench.simulation.routers import Router, View
from bench.simulation.service_times import ServiceTimes
from bench.simulation.traffic import Traffic

_NUM_FACTORS = 4096


class Cluster:
    """Replicas of one kind behind one router."""

    def __init__(
        self,
        num_replicas: int,
        times: ServiceTimes,
        limits: ReplicaLimits,
        router: Router,
        *,
        rng: np.random.Generator,
    ) -> None:
        """Set up replicas with empty memory.

        Args:
            num_replicas: the number of them.
            times: what a batch, a request and a load take at each.
            limits: limits of the batches and of the memory of each.
            router: chooses among them.
            rng: draws the times of batches from their spread.
        """
        self.replicas: list[Replica] = []
        self.view = View()
        self._events = Events()
        self._times = times
        self._limits = limits
        self._router = router
        self._rng = rng
        self._latencies: list[float] = []
        self._served_by: list[int] = []
        self._levels: list[int] = []
        self._retries = 0
        self._traffic: Traffic | None = None
        for _ in range(num_replicas):
            self._add_replica()

    def run(self, traffic: Traffic, incidents: Sequence[Incident] = ()) -> Run:
        """Send all requests, and wait until every one is answered."""
        count = len(traffic)
        self._traffic = traffic
        self._latencies = [float("nan")] * count
        self._served_by = [-1] * count
        self._levels = [-1] * count
        for incident in incidents:
            self._schedule(incident)
        arrivals, tasks = traffic.arrivals.tolist(), traffic.tasks.tolist()
        for number, (arrival, task, tokens) in enumerate(
            zip(arrivals, tasks, traffic.tokens.tolist(), strict=True)
        ):
            self._events.run(arrival)
            self._route(arrival, Request(number, task, tokens))
        self._events.run(float("inf"))
        return Run(
            arrivals=traffic.arrivals,
            latencies=np.array(self._latencies),
            levels=np.array(self._levels, dtype=np.int64),
            replicas=np.array(self._served_by, dtype=np.int64),
            num_retries=self._retries,
            busy_seconds=np.array([replica.busy_seconds for replica in self.replicas]),
            prefix_bytes=self._times.prefix_bytes,
        )

    def _add_replica(self) -> None:
        number = len(self.replicas)
        replica = Replica(
            number,
            self._times,
            self._limits,
            self._events,
            answered=self._answered,
            spread=self._factors(),
        )
        self.replicas.append(replica)
        self.view.requests.append(0)
        self.view.tokens.append(0)
        self.view.replicas.append(number)

    def _factors(self) -> Iterator[float]:
        """Draw factors of the times of batches between the measured quantiles."""
        spread = np.asarray(self._times.batch.spread)
        places = self._rng.random(_NUM_FACTORS) * (len(spread) - 1)
        return itertools.cycle(np.interp(places, np.arange(len(spread)), spread).tolist())

    def _route(self, now: float, request: Request) -> None:
        number = self._router.choose(request, self.view, now)
        self.view.requests[number] += 1
        self.view.tokens[number] += request.tokens
        self.replicas[number].receive(now, request)

    def _forget(self, replica: int, request: Request) -> None:
        self.view.requests[replica] -= 1
        self.view.tokens[replica] -= request.tokens

    def _answered(self, replica: Replica, request: Request, at: float) -> None:
        assert self._traffic is not None
        number = request.number
        assert self._served_by[number] < 0, "answered twice"
        self._latencies[number] = at - self._traffic.arrivals[number]
        self._served_by[number] = replica.number
        self._levels[number] = request.level
        self._forget(replica.number, request)

    def _schedule(self, incident: Incident) -> None:
        match incident:
            case Crash():
                self._events.at(incident.at, self._crash, incident)
            case Addition():
                self._events.at(incident.at, lambda _now, _: self._add_replica())

    def _crash(self, now: float, crash: Crash) -> None:
        self.replicas[crash.replica].crash()
        self._events.at(now + crash.notice_seconds, self._notice, crash.replica)
        if crash.restart_seconds < float("inf"):
            self._events.at(now + crash.restart_seconds, lambda _now, _: self._add_replica())

    def _notice(self, now: float, number: int) -> None:
        """Exclude the crashed replica, and retry its requests at others."""
        self.view.replicas.remove(number)
        for request in self.replicas[number].take_lost():
            self._forget(number, request)
            request.attempts += 1
            self._retries += 1
            self._route(now, request)
