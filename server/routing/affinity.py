"""AffinityPolicy: ranks the replicas of an engine for a task.

A task's requests go to few replicas, so its prefix is loaded on few devices. The order of the
replicas is that of rendezvous hashing (Thaler and Ravishankar, 1998): when a replica is added or
removed, only the tasks that it gains or had move. A replica whose load exceeds a multiple of the
mean is passed over, as in "Consistent Hashing with Bounded Loads" (Mirrokni, Thorup and
Zadimoghaddam, 2018).
"""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Final

_MAX_ORDERS: Final = 4096
"""Number of tasks whose order is kept. With 100 replicas, each takes about 2 kB."""


@dataclass(frozen=True, slots=True)
class AffinityPolicy:
    """Chooses replicas by task, by load, and by the task's share of all work.

    Loads are tokens in flight. A replica is overloaded above `balance` times the mean load, but
    never below `slack_tokens`: while replicas are nearly idle, every task stays at its own.
    """

    slack_tokens: float
    balance: float = 1.25

    def rank(self, task: str, loads: Mapping[str, float], share: float = 0.0) -> list[str]:
        """Return all replicas, the best one for a request of a task first.

        Args:
            task: the name of the task.
            loads: the tokens in flight at each replica.
            share: the part of all recent work that is this task's, from 0 to 1.
        """
        order = rendezvous_order(task, loads)
        homes = frozenset(order[: self.num_homes(share, len(order))])
        bound = self.bound(loads.values())

        def preference(replica: str) -> tuple[bool, bool, float]:
            load = loads[replica]
            if load > bound:
                return (True, False, load)
            is_home = replica in homes
            return (False, not is_home, load if is_home else 0.0)

        return sorted(order, key=preference)  # stable: equals keep the order of the hash

    def num_homes(self, share: float, num_replicas: int) -> int:
        """Return the number of replicas that a task needs, so that none of them is overloaded.

        A home of the task does `share / homes` of all work, and its part of the other tasks:
        `(1 - share) / num_replicas`. The sum may be at most `balance / num_replicas`.
        """
        needed = share * num_replicas / (self.balance - 1 + share)
        return min(num_replicas, max(1, math.ceil(needed)))

    def bound(self, loads: Collection[float]) -> float:
        """Return the load above which a replica is overloaded."""
        return max(self.slack_tokens, self.balance * sum(loads) / max(1, len(loads)))


def rendezvous_order(task: str, replicas: Iterable[str]) -> list[str]:
    """Return the replicas in the order in which a task prefers them, whatever their loads."""
    return list(_order(task, tuple(replicas)))


@lru_cache(_MAX_ORDERS)
def _order(task: str, replicas: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(replicas, key=lambda replica: _score(task, replica)))


def _score(task: str, replica: str) -> bytes:
    # Not CRC: it is linear, so the orders of different tasks would depend on each other.
    return blake2b(f"{task}\n{replica}".encode(), digest_size=8).digest()
