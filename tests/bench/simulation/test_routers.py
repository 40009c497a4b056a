"""Routers: what each of them guarantees."""

import math
from collections import Counter

import pytest

from bench.simulation.replica import Request
from bench.simulation.routers import (
    ROUTERS,
    BoundedHash,
    PowerOfTwo,
    RoundRobin,
    ShortestQueue,
    StickyRouter,
    View,
)

STICKY = [name for name, make in ROUTERS.items() if isinstance(make(0), StickyRouter)]


def view(*requests: int) -> View:
    return View(list(range(len(requests))), list(requests), [20 * each for each in requests])


@pytest.mark.parametrize("name", ROUTERS)
def test_a_router_chooses_a_replica_that_it_may(name: str) -> None:
    router = ROUTERS[name](0)
    known = View([1, 3], [0, 5, 0, 2], [0, 100, 0, 40])
    assert {router.choose(Request(0, task, 20), known, 0.0) for task in range(200)} <= {1, 3}


@pytest.mark.parametrize("name", STICKY)
def test_an_idle_cluster_serves_a_task_at_its_home(name: str) -> None:
    router, idle = ROUTERS[name](0), view(0, 0, 0, 0)
    assert isinstance(router, StickyRouter)
    homes = [router.home(task, idle.replicas) for task in range(400)]
    assert homes == [
        ROUTERS[name](0).choose(Request(0, task, 20), idle, 0.0) for task in range(400)
    ]
    assert min(Counter(homes).values()) > 50


@pytest.mark.parametrize("name", STICKY)
def test_an_added_replica_takes_tasks_from_others_and_moves_no_other(name: str) -> None:
    router = ROUTERS[name](0)
    assert isinstance(router, StickyRouter)
    moved = [(router.home(task, range(4)), router.home(task, range(5))) for task in range(400)]
    assert all(after in {before, 4} for before, after in moved)


def test_a_bounded_hash_exceeds_no_bound() -> None:
    router, loads = BoundedHash(1.25), view(0, 0, 0, 0, 0)
    for number in range(1000):
        chosen = router.choose(Request(number, number % 3, 20), loads, 0.0)
        loads.requests[chosen] += 1
        assert loads.requests[chosen] <= math.ceil(1.25 * (number + 1) / 5)


def test_the_shortest_queue_is_chosen() -> None:
    chosen = {
        ShortestQueue(seed).choose(Request(0, 0, 20), view(3, 1, 2, 1), 0.0) for seed in range(9)
    }
    assert chosen == {1, 3}


def test_two_random_choices_avoid_the_longest_queue() -> None:
    router, loads = PowerOfTwo(0), view(0, 0, 50)
    chosen = Counter(router.choose(Request(0, 0, 20), loads, 0.0) for _ in range(900))
    assert chosen[2] < 150


def test_round_robin_gives_each_replica_the_same_number() -> None:
    router, loads = RoundRobin(), view(9, 0, 0)
    chosen = Counter(router.choose(Request(0, 0, 20), loads, 0.0) for _ in range(30))
    assert set(chosen.values()) == {10}
