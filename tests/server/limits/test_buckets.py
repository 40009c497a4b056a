import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.limits.buckets import BURST_SECONDS, TokenBucket


def test_a_full_bucket_holds_what_refills_in_ten_seconds() -> None:
    bucket = TokenBucket(5.0, now=0.0)
    assert (bucket.remaining(0.0), bucket.window) == (50, BURST_SECONDS)
    bucket.take(50)
    assert bucket.seconds_until(1, 0.0) == pytest.approx(0.2)
    assert bucket.remaining(2.0) == 10


def test_a_slow_bucket_holds_one_unit() -> None:
    bucket = TokenBucket(0.01, now=0.0)
    assert bucket.remaining(0.0) == 1
    bucket.take(1)
    assert bucket.seconds_until(1, 50.0) == pytest.approx(50.0)
    assert bucket.window == 100.0


def test_what_exceeds_the_capacity_may_be_taken_from_a_full_bucket_and_is_owed() -> None:
    bucket = TokenBucket(10.0, now=0.0)
    bucket.take(1)
    assert bucket.seconds_until(500, 0.0) == pytest.approx(0.1)
    bucket.take(499)  # 400 are owed
    assert bucket.remaining(30.0) == 0
    assert bucket.seconds_until(1, 30.0) == pytest.approx(10.1)


def test_what_is_given_back_does_not_exceed_the_capacity() -> None:
    bucket = TokenBucket(1.0, now=0.0)
    bucket.take(-1000)
    assert bucket.remaining(0.0) == 10


def test_a_new_rate_applies_at_once() -> None:
    bucket = TokenBucket(10.0, now=0.0)
    bucket.take(100)
    bucket.set_rate(20.0)
    assert (bucket.remaining(0.0), bucket.remaining(1.0)) == (100, 120)
    bucket.set_rate(0.1)
    assert bucket.remaining(1.0) == 1


@given(
    st.floats(0.01, 1e4),
    st.lists(st.tuples(st.floats(0, 30), st.integers(1, 1000)), max_size=60),
)
def test_no_more_is_taken_than_the_rate_and_the_burst_allow(
    rate: float, steps: list[tuple[float, int]]
) -> None:
    bucket = TokenBucket(rate, now=0.0)
    now, taken, largest = 0.0, 0, 0
    for pause, amount in steps:
        now += pause
        if bucket.seconds_until(amount, now) == 0:
            bucket.take(amount)
            taken += amount
            largest = max(largest, amount)
        # One request larger than the bucket may be admitted beyond it, and is paid for later.
        assert taken <= max(bucket.capacity, largest) + rate * now + bucket.capacity + 1e-6


@given(st.floats(0.01, 1e4), st.integers(1, 10_000), st.floats(0, 100))
def test_the_wait_that_is_announced_is_enough(rate: float, amount: int, used: float) -> None:
    bucket = TokenBucket(rate, now=0.0)
    bucket.take(used * rate)
    wait = bucket.seconds_until(amount, 0.0)
    assert bucket.seconds_until(amount, wait + 1e-6 + 1e-9 * wait) == pytest.approx(0, abs=1e-6)
