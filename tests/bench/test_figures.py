"""Bounds, ratios and quantiles of the benchmark."""

import pytest

from bench.figures import Bound, Figure, quantile, speed_ratios


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


def test_a_quantile_is_one_of_the_values() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert quantile(values, 0.5) == 50.0
    assert quantile(values, 0.99) == 99.0
    assert quantile([7.0], 0.5) == 7.0
