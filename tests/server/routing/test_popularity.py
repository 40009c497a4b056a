"""The shares of tasks in recent work."""

import pytest

from server.routing.popularity import Popularity


def test_an_unknown_task_has_no_share() -> None:
    assert Popularity().share("acme/spam") == 0


def test_shares_are_parts_of_the_work() -> None:
    popularity = Popularity()
    popularity.add("acme/spam", 30, now=5.0)
    popularity.add("acme/tone", 10, now=5.0)

    assert popularity.share("acme/spam") == pytest.approx(0.75)
    assert popularity.share("acme/tone") == pytest.approx(0.25)


def test_work_counts_half_after_the_half_life() -> None:
    popularity = Popularity(half_life_seconds=30)
    popularity.add("acme/spam", 10, now=100.0)
    popularity.add("acme/tone", 10, now=130.0)

    assert popularity.share("acme/spam") == pytest.approx(1 / 3)


def test_the_clock_may_run_for_years() -> None:
    popularity = Popularity(half_life_seconds=1)
    for now in range(0, 10_000, 100):
        popularity.add("acme/spam", 1, now=float(now))
        popularity.add("acme/tone", 3, now=float(now))

    assert popularity.share("acme/spam") == pytest.approx(0.25)


def test_rare_tasks_are_forgotten_and_popular_ones_are_not() -> None:
    popularity = Popularity(max_tasks=10)
    popularity.add("acme/spam", 1000, now=0.0)
    for number in range(1000):
        popularity.add(f"acme/task-{number}", 1, now=0.0)

    assert popularity.share("acme/spam") == pytest.approx(0.5)
    assert sum(popularity.share(f"acme/task-{number}") > 0 for number in range(1000)) <= 20
