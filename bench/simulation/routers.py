"""Routers: which replica gets a request. Ours is compared with the usual ones."""

import bisect
import math
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from bench.simulation.replica import Request
from server.routing.affinity import AffinityPolicy, rendezvous_order
from server.routing.popularity import Popularity

_VIRTUAL_NODES: Final = 100


@dataclass(slots=True)
class View:
    """The replicas that a router may choose, and the requests and tokens in flight at each.

    `requests` and `tokens` have an entry for each replica that ever existed.
    """

    replicas: list[int] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)


class Router(ABC):
    """Chooses a replica for each request."""

    @abstractmethod
    def choose(self, request: Request, view: View, now: float) -> int: ...


class StickyRouter(Router):
    """A router for which a task has a replica of its own."""

    @abstractmethod
    def home(self, task: int, replicas: Sequence[int]) -> int:
        """Return the replica of a task when nothing is in flight."""


class Affinity(StickyRouter):
    """The policy of this project: the one that the Ray deployment routes with."""

    def __init__(self, policy: AffinityPolicy) -> None:
        self._policy = policy
        self._popularity = Popularity()

    def choose(self, request: Request, view: View, now: float) -> int:
        task = str(request.task)
        self._popularity.add(task, request.tokens, now)
        loads = {str(replica): view.tokens[replica] for replica in view.replicas}
        return int(self._policy.rank(task, loads, self._popularity.share(task))[0])

    def home(self, task: int, replicas: Sequence[int]) -> int:
        return _rendezvous_home(task, tuple(replicas))


@lru_cache(maxsize=2_000_000)
def _rendezvous_home(task: int, replicas: tuple[int, ...]) -> int:
    return int(rendezvous_order(str(task), map(str, replicas))[0])


class _RandomRouter(Router):
    """A router that draws random numbers."""

    def __init__(self, seed: int = 0) -> None:
        self._rng = random.Random(seed)  # noqa: S311 - a simulation, no secret


class Random(_RandomRouter):
    """Any replica."""

    def choose(self, request: Request, view: View, now: float) -> int:  # noqa: ARG002
        return self._rng.choice(view.replicas)


class RoundRobin(Router):
    """One replica after the other."""

    def __init__(self) -> None:
        self._count = 0

    def choose(self, request: Request, view: View, now: float) -> int:  # noqa: ARG002
        self._count += 1
        return view.replicas[self._count % len(view.replicas)]


class ShortestQueue(_RandomRouter):
    """The replica with the fewest requests in flight; among several, any of them."""

    def choose(self, request: Request, view: View, now: float) -> int:  # noqa: ARG002
        requests = view.requests
        fewest = min(requests[replica] for replica in view.replicas)
        return self._rng.choice([one for one in view.replicas if requests[one] == fewest])


class PowerOfTwo(_RandomRouter):
    """The one of two random replicas with fewer requests in flight."""

    def choose(self, request: Request, view: View, now: float) -> int:  # noqa: ARG002
        one, other = self._rng.choice(view.replicas), self._rng.choice(view.replicas)
        return min(one, other, key=view.requests.__getitem__)


class BoundedHash(StickyRouter):
    """Consistent hashing with bounded loads: the next replica on the ring that is not overloaded.

    A replica is overloaded when it has more than `balance` times the mean number of requests in
    flight (Mirrokni, Thorup and Zadimoghaddam, 2018).
    """

    def __init__(self, balance: float = 1.25) -> None:
        self._balance = balance

    def choose(self, request: Request, view: View, now: float) -> int:  # noqa: ARG002
        places, owners = _ring(tuple(view.replicas))
        total = sum(view.requests[replica] for replica in view.replicas) + 1
        bound = math.ceil(self._balance * total / len(view.replicas))
        start = bisect.bisect(places, _place(f"task {request.task}"))
        for step in range(len(owners)):
            owner = owners[(start + step) % len(owners)]
            if view.requests[owner] < bound:
                return owner
        raise AssertionError("the mean cannot exceed the bound at every replica")

    def home(self, task: int, replicas: Sequence[int]) -> int:
        places, owners = _ring(tuple(replicas))
        return owners[bisect.bisect(places, _place(f"task {task}")) % len(owners)]


@lru_cache(maxsize=64)
def _ring(replicas: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """Return places on the ring in order, and the replica at each."""
    nodes = sorted(
        (_place(f"replica {replica} {number}"), replica)
        for replica in replicas
        for number in range(_VIRTUAL_NODES)
    )
    return [place for place, _ in nodes], [replica for _, replica in nodes]


@lru_cache(maxsize=2_000_000)
def _place(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest())


ROUTERS: Final[Mapping[str, Callable[[int], Router]]] = {
    "affinity": lambda _seed: Affinity(AffinityPolicy(slack_tokens=512.0)),
    "affinity, slack 128": lambda _seed: Affinity(AffinityPolicy(slack_tokens=128.0)),
    "affinity, slack 32": lambda _seed: Affinity(AffinityPolicy(slack_tokens=32.0)),
    "bounded hash": lambda _seed: BoundedHash(),
    "shortest queue": ShortestQueue,
    "power of two": PowerOfTwo,
    "round robin": lambda _seed: RoundRobin(),
    "random": Random,
}
"""Makes each router, with a seed for its random choices."""
