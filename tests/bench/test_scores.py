from collections.abc import Mapping
from pathlib import Path

import pytest

from bench.scores import Score, Scores, best_settings, summary


def add(
    scores: Scores,
    task: str,
    method: str,
    seed: int,
    validation: float,
    test: float,
    **settings: float,
) -> None:
    scores.add(
        Score(
            task=task,
            method=method,
            settings=settings,
            seed=seed,
            dtype="float32",
            rows=100,
            chosen_by="accuracy",
            validation={"accuracy": validation},
            test={"accuracy": test},
            seconds=1.0,
        )
    )


@pytest.fixture
def scores(tmp_path: Path) -> Scores:
    """Two sets with the default and its peers, and one without the default."""
    scores = Scores(tmp_path / "scores.json")
    tests: Mapping[str, tuple[float, float, float]] = {
        "trec": (0.90, 0.93, 0.89),
        "sst2": (0.84, 0.83, 0.85),
    }
    for task, figures in tests.items():
        for method, test in zip(("vectors", "fine-tuning", "PEFT"), figures, strict=True):
            for seed in (0, 1):
                add(scores, task, method, seed, 0.9, test)
    for method in ("prefix", "fine-tuning"):
        add(scores, "mrpc", method, 0, 0.7, 0.1)
    return scores


def test_validation_rows_choose_settings_and_test_rows_do_not(tmp_path: Path) -> None:
    scores = Scores(tmp_path / "scores.json")
    add(scores, "trec", "PEFT", 0, 0.8, 0.99, learning_rate=0.01)
    add(scores, "trec", "PEFT", 0, 0.9, 0.70, learning_rate=0.03)
    add(scores, "trec", "PEFT", 1, 0.9, 0.72, learning_rate=0.03)
    found = scores.of("trec", "PEFT")
    assert best_settings(found, seed=0) == {"learning_rate": 0.03}
    (figure,) = summary(scores, ["trec"], [0, 1])
    assert figure.measured == pytest.approx(0.71)


def test_the_mean_of_sets_is_bounded_and_takes_only_sets_with_the_default(scores: Scores) -> None:
    figures = {
        (one.group, one.name): one for one in summary(scores, ["trec", "sst2", "mrpc"], [0, 1])
    }
    to_tuned = figures["mean of 2 sets", "fine-tuning minus vectors"]
    to_peft = figures["mean of 2 sets", "vectors minus PEFT"]
    assert to_tuned.measured == pytest.approx(0.01)
    assert to_peft.measured == pytest.approx(0.0)
    assert to_tuned.bound is not None
    assert to_peft.bound is not None
    assert (to_tuned.bound.value, to_tuned.holds) == (0, False)
    by_set = [figures[task, "fine-tuning minus vectors"].holds for task in ("trec", "sst2")]
    assert by_set == [False, True]
    assert figures["mrpc", "fine-tuning minus prefix"].bound is None
    assert ("mrpc", "prefix minus PEFT") not in figures


def test_the_bound_depends_on_the_set(tmp_path: Path) -> None:
    scores = Scores(tmp_path / "scores.json")
    for task in ("trec", "wnut17", "copa"):
        add(scores, task, "vectors", 0, 0.9, 0.80)
        add(scores, task, "fine-tuning", 0, 0.9, 0.825)
    gaps = [
        one for one in summary(scores, ["trec", "wnut17", "copa"], [0]) if " minus " in one.name
    ]
    assert [gap.holds for gap in gaps[:3]] == [False, False, True]


def test_means_have_a_standard_error_from_two_seeds_on(tmp_path: Path) -> None:
    scores = Scores(tmp_path / "scores.json")
    for seed, test in enumerate((0.70, 0.72, 0.74)):
        add(scores, "trec", "prefix", seed, 0.9, test)
    (three,) = summary(scores, ["trec"], [0, 1, 2])
    assert three.name.endswith("3 seeds, standard error 0.0115")
    (one,) = summary(scores, ["trec"], [0])
    assert one.name.endswith(", 1 seed")
