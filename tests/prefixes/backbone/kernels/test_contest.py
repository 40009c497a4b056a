"""The rule that picks a kernel, on made-up figures; and what excludes a candidate."""

import pytest
import torch

from prefixes.backbone.kernels.contest import pick
from prefixes.backbone.kernels.measurement import measure
from tests.prefixes.backbone.kernels.contests import CPU, CountedCandidate, contest_of


@pytest.mark.parametrize(
    ("torch_seconds", "onednn_seconds", "expected"),
    [
        pytest.param((2.0, 4.0), (1.0, 2.0), "onednn", id="twice-as-fast"),
        pytest.param((1.0, 4.0), (1.0, 3.0), "onednn", id="faster-at-one-size"),
        pytest.param((1.0, 1.0), (1.0, 1.0), "torch", id="a-tie"),
        pytest.param((1.0, 1.0), (0.98, 0.97), "torch", id="hardly-faster"),
        pytest.param((4.0, 1.0), (1.0, 1.1), "torch", id="slower-at-one-size"),
        pytest.param((1.0, 1.0), (9.0, 9.0), "torch", id="slower"),
    ],
)
def test_a_candidate_replaces_torch_only_if_it_is_clearly_faster_and_never_slower(
    torch_seconds: tuple[float, ...], onednn_seconds: tuple[float, ...], expected: str
) -> None:
    contest = contest_of(CountedCandidate("torch"), CountedCandidate("onednn"))

    assert pick(contest, {"torch": torch_seconds, "onednn": onednn_seconds}) == expected
    assert pick(contest, {"onednn": onednn_seconds, "torch": torch_seconds}) == expected


def test_the_fastest_of_several_candidates_is_picked() -> None:
    contest = contest_of(*map(CountedCandidate, ("torch", "bmm", "compiled")))

    seconds = {"torch": [4.0, 4.0], "bmm": [2.0, 3.0], "compiled": [1.0, 3.9]}

    assert pick(contest, seconds) == "compiled"


def test_candidates_with_other_results_are_excluded() -> None:
    exact, wrong = CountedCandidate("torch"), CountedCandidate("wrong", 1.01)
    not_a_number = CountedCandidate("nan", float("nan"))

    figures = measure(contest_of(exact, wrong, not_a_number), CPU)

    assert set(figures.seconds) == {"torch"}
    assert set(figures.excluded) == {"wrong", "nan"}
    assert figures.excluded["wrong"] == "its results differ by 0.01"


@pytest.mark.parametrize(
    "error", [AttributeError("no such operator"), RuntimeError("needs avx512\nat file:1")]
)
def test_a_missing_operator_excludes_a_candidate(error: Exception) -> None:
    contest = contest_of(CountedCandidate("torch"), CountedCandidate("onednn", error=error))

    figures = measure(contest, CPU)

    assert set(figures.seconds) == {"torch"}
    assert figures.excluded == {"onednn": str(error).partition("\n")[0]}


def test_a_reference_that_fails_is_an_error() -> None:
    contest = contest_of(CountedCandidate("torch", error=RuntimeError("out of memory")))

    with pytest.raises(RuntimeError, match="out of memory"):
        measure(contest, CPU)


def test_a_measurement_restores_the_number_of_threads() -> None:
    before = torch.get_num_threads()

    measure(contest_of(CountedCandidate("torch"), CountedCandidate("onednn")), CPU)

    assert torch.get_num_threads() == before
