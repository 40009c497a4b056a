"""Bounds, ratios and quantiles of the benchmark."""

import pytest

from bench.figures import Bound, Figure, median_deviation, quantile, speed_ratios


def test_ratios_are_those_of_each_round_and_not_of_the_medians() -> None:
    # The machine was twice as slow in the second round, for both.
    assert speed_ratios([1.0, 2.0, 1.0], [3.0, 6.0, 3.0]) == [3.0, 3.0, 3.0]


def test_a_figure_of_rounds_keeps_median_lowest_and_highest() -> None:
    figure = Figure.of_rounds("group", "name", "times", [5.0, 1.0, 2.0])
    assert (figure.measured, figure.low, figure.high) == (2.0, 1.0, 5.0)


@pytest.mark.parametrize(
    ("bound", "measured", "holds"),
    [
        (Bound(4), 4.0, True),
        (Bound(4), 3.9, False),
        (Bound(4, "at most"), 4.0, True),
        (Bound(4, "at most"), 4.1, False),
    ],
)
def test_a_bound_holds_on_its_side_and_on_its_own_value(
    bound: Bound, measured: float, *, holds: bool
) -> None:
    assert Figure("group", "name", "times", measured, bound=bound).holds is holds


def test_what_was_not_measured_or_has_no_bound_neither_holds_nor_fails() -> None:
    assert Figure.absent("group", "name", "times", "no such peer", Bound(4)).holds is None
    assert Figure("group", "name", "times", 1.0).holds is None


def test_a_bound_for_other_processors_neither_holds_nor_fails() -> None:
    bound = Bound(4, applies=False)
    assert Figure("group", "name", "times", 3.0, bound=bound).holds is None
    assert Figure("group", "name", "times", 5.0, bound=bound).holds is None


def test_unchanged_allows_the_noise_of_the_rounds_and_no_more() -> None:
    rounds = [0.90, 0.94, 0.97, 0.98, 1.10]
    assert median_deviation(rounds) == pytest.approx(0.03)
    assert Bound.unchanged(rounds).holds(0.97)
    assert not Bound.unchanged(rounds).holds(0.96)
    assert Bound.unchanged(rounds, "at most").holds(1.03)
    assert not Bound.unchanged(rounds, "at most").holds(1.04)
    assert not Bound.unchanged([0.99, 0.99, 0.99]).holds(0.98)


def test_two_rounds_do_not_show_their_noise() -> None:
    assert Bound.unchanged([0.9, 0.9]).holds(0.9) is None


def test_a_run_with_much_noise_decides_only_what_exceeds_the_noise() -> None:
    noisy = Bound(1, noise=0.3)
    assert noisy.holds(0.9) is None
    assert noisy.holds(1.2) is None
    assert noisy.holds(0.6) is False
    assert noisy.holds(1.4) is True


def test_a_quantile_is_one_of_the_values() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert quantile(values, 0.5) == 50.0
    assert quantile(values, 0.99) == 99.0
    assert quantile([7.0], 0.5) == 7.0
