"""The affinity policy: few replicas for each task, and none of them overloaded."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.routing.affinity import AffinityPolicy, rendezvous_order

POLICY = AffinityPolicy(slack_tokens=512.0)
NAMES = st.sets(st.text("abcdef0123456789", min_size=1, max_size=8), min_size=1, max_size=12)
LOADS = NAMES.flatmap(
    lambda names: st.fixed_dictionaries({name: st.floats(0, 1e6) for name in sorted(names)})
)
TASKS = st.text("abc/-", min_size=1, max_size=20)
SHARES = st.floats(0, 1)


def _idle(num: int) -> dict[str, float]:
    return {f"replica-{number}": 0.0 for number in range(num)}


@given(TASKS, LOADS, SHARES)
def test_every_replica_is_ranked_once(task: str, loads: dict[str, float], share: float) -> None:
    assert sorted(POLICY.rank(task, loads, share)) == sorted(loads)


@given(TASKS, LOADS, SHARES)
def test_the_first_replica_is_not_overloaded(
    task: str, loads: dict[str, float], share: float
) -> None:
    first = POLICY.rank(task, loads, share)[0]

    assert loads[first] <= POLICY.bound(loads.values()) * (1 + 1e-9)


@given(TASKS, NAMES, SHARES)
def test_idle_replicas_keep_the_order_of_the_hash(task: str, names: set[str], share: float) -> None:
    ranked = POLICY.rank(task, dict.fromkeys(names, 0.0), share)

    assert ranked == rendezvous_order(task, names)


@given(TASKS, NAMES)
def test_the_order_does_not_depend_on_the_order_of_the_replicas(task: str, names: set[str]) -> None:
    assert rendezvous_order(task, sorted(names)) == rendezvous_order(
        task, sorted(names, reverse=True)
    )


def test_the_order_of_a_task_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    order = rendezvous_order("acme/computed-once", _idle(4))
    monkeypatch.setattr("server.routing.affinity.blake2b", None)

    assert rendezvous_order("acme/computed-once", _idle(4)) == order
    with pytest.raises(TypeError):
        rendezvous_order("acme/computed-once", _idle(5))


@given(TASKS, NAMES)
def test_a_lost_replica_moves_only_its_own_tasks(task: str, names: set[str]) -> None:
    order = rendezvous_order(task, names)

    assert rendezvous_order(task, names - {order[-1]}) == order[:-1]
    assert rendezvous_order(task, names - {order[0]}) == order[1:]


@given(SHARES, SHARES, st.integers(1, 64))
def test_a_more_popular_task_has_at_least_as_many_homes(one: float, other: float, num: int) -> None:
    fewer, more = (POLICY.num_homes(share, num) for share in sorted((one, other)))

    assert 1 <= fewer <= more <= num


@given(SHARES, st.integers(1, 64))
def test_homes_of_a_popular_task_are_not_overloaded(share: float, num: int) -> None:
    homes = POLICY.num_homes(share, num)

    load = share / homes + (1 - share) / num
    assert load <= POLICY.balance / num * (1 + 1e-9)


def test_tasks_spread_evenly() -> None:
    first = Counter(POLICY.rank(f"acme/task-{number}", _idle(4))[0] for number in range(4000))

    assert all(900 < count < 1100 for count in first.values())


def test_a_rare_task_has_one_home() -> None:
    assert POLICY.num_homes(0.001, 8) == 1


def test_a_task_leaves_an_overloaded_home_and_returns() -> None:
    home, second, *_ = POLICY.rank("acme/spam", _idle(4))

    assert POLICY.rank("acme/spam", _idle(4) | {home: 10_000.0})[0] == second
    assert POLICY.rank("acme/spam", _idle(4) | {home: 400.0})[0] == home


def test_a_popular_task_takes_the_less_loaded_home() -> None:
    home, second, *_ = POLICY.rank("acme/spam", _idle(4))
    busy = dict.fromkeys(_idle(4), 4000.0) | {second: 3000.0}

    assert POLICY.rank("acme/spam", busy, share=0.0)[0] == home
    assert POLICY.rank("acme/spam", busy, share=0.5)[0] == second


def test_a_popular_task_balances_replicas_with_little_load() -> None:
    loads = _idle(2)
    for number in range(1000):
        loads[POLICY.rank("acme/spam", loads, share=0.5)[0]] += 1
        loads[POLICY.rank(f"acme/task-{number}", loads)[0]] += 1
        loads = {name: load * 0.9 for name, load in loads.items()}

    assert max(loads.values()) < 1.25 * min(loads.values())


def test_a_flood_of_one_task_spreads_within_the_bound() -> None:
    loads = _idle(4)
    for _ in range(4000):
        loads[POLICY.rank("acme/spam", loads, share=1.0)[0]] += 16.0

    assert max(loads.values()) <= POLICY.bound(loads.values()) + 16
