"""The rule that picks a kernel, on made-up figures; and what excludes a candidate."""

from dataclasses import replace

import pytest
import torch

from prefixes.backbone.kernels.contest import pick
from prefixes.backbone.kernels.measurement import measure
from tests.prefixes.backbone.kernels.contests import CPU, CountedCandidate, contest_of

Times = tuple[tuple[float, ...], ...]
"""The seconds of a candidate at two workloads, in four rounds each."""


@pytest.mark.parametrize(
    ("torch_seconds", "onednn_seconds", "expected"),
    [
        pytest.param(
            ((2, 2, 2, 2), (4, 4, 4, 4)), ((1, 1, 1, 1), (2, 2, 2, 2)), "onednn", id="twice"
        ),
        pytest.param(
            ((1, 1, 1, 1), (4, 4, 4, 4)), ((1, 1, 1, 1), (3, 3, 3, 3)), "onednn", id="once"
        ),
        pytest.param(
            ((1, 1, 1, 1), (1, 1, 1, 1)), ((1, 1, 1, 1), (1, 1, 1, 1)), "torch", id="a-tie"
        ),
        pytest.param(
            ((1, 1, 1, 1), (1, 1, 1, 1)),
            ((0.99, 0.99, 0.99, 0.99), (0.98, 0.98, 0.98, 0.98)),
            "torch",
            id="hardly-faster",
        ),
        pytest.param(
            ((4, 4, 4, 4), (1, 1, 1, 1)),
            ((1, 1, 1, 1), (1.1, 1.1, 1.1, 0.9)),
            "torch",
            id="slower-at-one-size",
        ),
        pytest.param(
            ((4, 4, 4, 4), (1, 1, 1, 1)),
            ((2, 2, 2, 2), (0.9, 1.2, 0.9, 1.2)),
            "onednn",
            id="equal-but-noisy-at-one-size",
        ),
        pytest.param(
            ((1, 1, 1, 1), (1, 1, 1, 1)),
            ((0.5, 1.5, 0.8, 1.3), (1.3, 0.8, 1.5, 0.7)),
            "torch",
            id="equal-but-noisy",
        ),
        pytest.param(
            ((1, 9, 1, 1), (2, 2, 18, 2)),
            ((0.5, 4.5, 0.5, 9), (1, 9, 9, 1)),
            "onednn",
            id="disturbed-by-others",
        ),
        pytest.param(((1,), (1,)), ((0.5,), (0.5,)), "onednn", id="one-round"),
        pytest.param(((1,), (1,)), ((0.2,), (1.1,)), "torch", id="one-round-slower-at-one-size"),
    ],
)
def test_a_candidate_replaces_torch_only_if_it_is_clearly_faster_and_nowhere_clearly_slower(
    torch_seconds: Times, onednn_seconds: Times, expected: str
) -> None:
    contest = contest_of(CountedCandidate("torch"), CountedCandidate("onednn"))

    assert pick(contest, {"torch": torch_seconds, "onednn": onednn_seconds}) == expected
    assert pick(contest, {"onednn": onednn_seconds, "torch": torch_seconds}) == expected


def test_the_fastest_of_several_candidates_is_picked() -> None:
    contest = contest_of(*map(CountedCandidate, ("torch", "bmm", "compiled")))

    seconds = {"torch": [[4.0], [4.0]], "bmm": [[2.0], [3.0]], "compiled": [[1.0], [3.9]]}

    assert pick(contest, seconds) == "compiled"
    assert pick(contest, dict(reversed(seconds.items()))) == "compiled"


def test_without_figures_the_reference_is_picked() -> None:
    assert pick(contest_of(CountedCandidate("torch")), {}) == "torch"


def test_every_candidate_runs_as_often_and_takes_turns_at_going_first() -> None:
    order: list[str] = []
    contest = contest_of(*(CountedCandidate(name, calls=order) for name in ("torch", "onednn")))

    figures = measure(contest, CPU)

    assert {name: len(rounds) for name, rounds in figures.seconds.items()} == {
        "torch": 2,
        "onednn": 2,
    }
    # The first results of both workloads come first.
    assert order[4:8] == ["torch", "onednn", "onednn", "torch"]


def test_a_machine_without_time_to_spare_runs_three_rounds() -> None:
    contest = contest_of(CountedCandidate("torch"), CountedCandidate("onednn"))

    figures = measure(replace(contest, seconds=0.0), CPU)

    assert {len(times) for rounds in figures.seconds.values() for times in rounds} == {3}


def test_candidates_with_other_results_are_excluded() -> None:
    exact, wrong = CountedCandidate("torch"), CountedCandidate("wrong", 1.01)
    not_a_number = CountedCandidate("nan", float("nan"))

    figures = measure(contest_of(exact, wrong, not_a_number), CPU)

    assert not figures.seconds
    assert set(figures.excluded) == {"wrong", "nan"}
    assert figures.excluded["wrong"] == "its results differ by 0.01"


@pytest.mark.parametrize(
    "error", [AttributeError("no such operator"), RuntimeError("needs avx512\nat file:1")]
)
def test_a_missing_operator_excludes_a_candidate(error: Exception) -> None:
    contest = contest_of(CountedCandidate("torch"), CountedCandidate("onednn", error=error))

    figures = measure(contest, CPU)

    assert not figures.seconds
    assert figures.excluded == {"onednn": str(error).partition("\n")[0]}


def test_a_reference_that_fails_is_an_error() -> None:
    contest = contest_of(CountedCandidate("torch", error=RuntimeError("out of memory")))

    with pytest.raises(RuntimeError, match="out of memory"):
        measure(contest, CPU)


def test_a_measurement_restores_the_number_of_threads() -> None:
    before = torch.get_num_threads()

    measure(contest_of(CountedCandidate("torch"), CountedCandidate("onednn")), CPU)

    assert torch.get_num_threads() == before
