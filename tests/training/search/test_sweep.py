"""Sweeps: settings are searched, poor trials are pruned, and a killed sweep resumes unchanged."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prefixes import Prefix
from server.command_line.training_run import best_of_each_task
from tests.training.learnable_tasks import pair_rows, sentiment_rows, write_jsonl
from training.errors import PlanRejected
from training.learning.run import Run
from training.sessions.session import run_plan
from training.settings.plan import TrainPlan, check_plan

RATE = {"low": 1e-6, "high": 0.05, "log": True}
SPACE = {"learning_rate": RATE, "head_learning_rate": RATE, "prefix_length": [2, 4]}


def make_plan(backbone_folder: Path, data: Path, tasks: Sequence[str], **sweep: Any) -> TrainPlan:
    rows = {"mood": sentiment_rows, "denial": pair_rows}
    runs = [
        {
            "task": f"acme/{task}",
            "train": str(write_jsonl(data / f"{task}.jsonl", rows[task](48))),
            "max_length": 32,
            "batch_size": 8,
            "epochs": 3,
            "min_steps": 1,
            "initialization": "noise",
        }
        for task in tasks
    ]
    return check_plan(
        {
            "runs": runs,
            "backbone": str(backbone_folder),
            "device": "cpu",
            "sweep": {"space": SPACE, "trials": 8, "together": 3, **sweep},
        },
        origin="test",
    )


class Watched:
    """A watcher of a sweep that records all runs, and the number of runs in each step."""

    def __init__(self, *, stop_after: int | None = None) -> None:
        self.runs: dict[str, Run] = {}
        self.active: list[int] = []
        self._stop_after = stop_after

    def __call__(self, runs: Sequence[Run]) -> None:
        self.runs |= {run.config.run_name: run for run in runs}
        self.active.append(len(runs))
        if len(self.active) == self._stop_after:
            raise Killed


class Killed(Exception):
    pass


def sweep_in(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "sweep.json").read_text(encoding="utf-8"))
    return content


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_each_task_is_searched_on_its_own_and_its_best_run_is_kept(
    backbone_folder: Path, tmp_path: Path, sampler: str
) -> None:
    output = tmp_path / "output"
    plan = make_plan(backbone_folder, tmp_path, ["mood", "denial"], sampler=sampler, trials=4)
    watched = Watched()
    trained = run_plan(plan, output, watch=watched)
    assert [one.config.task for one in best_of_each_task(trained)] == ["acme/mood", "acme/denial"]
    assert len(watched.runs) == 8
    for one in trained:
        folder = output / one.config.task
        found = sweep_in(folder)
        values = [trial["value"] for trial in found["trials"]]
        best = found["trials"][found["trial"]]
        assert best["value"] == max(values)
        assert one.config.learning_rate == best["settings"]["learning_rate"]
        assert one.config.prefix_length == best["settings"]["prefix_length"]
        assert (folder / "sweep.png").stat().st_size > 1000
        provenance = Prefix.load(one.file).spec.provenance
        assert provenance is not None
        assert provenance.recipe["learning_rate"] == one.config.learning_rate
        facts = provenance.recipe["sweep"]
        assert isinstance(facts, dict)
        assert (facts["sampler"], facts["trials"], facts["seed"]) == (sampler, 4, 0)
        assert facts["trial"] == found["trial"]
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        assert report["sweep"] == facts


def test_no_more_trials_learn_together_than_shall(backbone_folder: Path, tmp_path: Path) -> None:
    watched = Watched()
    plan = make_plan(backbone_folder, tmp_path, ["mood"], trials=5, together=2, pruner="none")
    run_plan(plan, tmp_path / "output", watch=watched)
    assert max(watched.active) == 2
    assert len(watched.runs) == 5


def test_a_grid_tries_every_combination_once(backbone_folder: Path, tmp_path: Path) -> None:
    space = {"learning_rate": [0.01, 0.001], "prefix_length": [2, 3]}
    plan = make_plan(backbone_folder, tmp_path, ["mood"], sampler="grid", trials=None, space=space)
    run_plan(plan, tmp_path / "output", watch=Watched())
    settings = [trial["settings"] for trial in sweep_in(tmp_path / "output")["trials"]]
    assert settings == [
        {"learning_rate": rate, "prefix_length": length}
        for rate in (0.01, 0.001)
        for length in (2, 3)
    ]


def test_trials_that_see_the_same_tokens_tokenize_them_once(
    backbone_folder: Path, tmp_path: Path
) -> None:
    watched = Watched()
    space = {"max_length": [4, 32], "prefix_length": [2, 3]}
    plan = make_plan(backbone_folder, tmp_path, ["mood"], sampler="grid", trials=None, space=space)
    run_plan(plan, tmp_path / "output", watch=watched)
    pieces = [watched.runs[f"acme/mood/trial-{number}"].pieces for number in range(4)]
    assert pieces[0] is pieces[1]
    assert pieces[2] is pieces[3]
    assert max(len(piece.texts[0].token_ids) for piece in pieces[0]) == 4
    assert max(len(piece.texts[0].token_ids) for piece in pieces[2]) > 4


@pytest.mark.parametrize("pruner", ["median", "successive_halving"])
def test_a_trial_that_is_given_up_ends_early_and_makes_room(
    backbone_folder: Path, tmp_path: Path, pruner: str
) -> None:
    watched = Watched()
    plan = make_plan(
        backbone_folder, tmp_path, ["mood"], pruner=pruner, trials=14, together=4, sampler="random"
    )
    run_plan(plan, tmp_path / "output", watch=watched)
    found = sweep_in(tmp_path / "output")
    by_outcome: dict[str, list[Run]] = {"complete": [], "pruned": []}
    for trial in found["trials"]:
        run = watched.runs[f"acme/mood/trial-{trial['number']}"]
        by_outcome[trial["outcome"]].append(run)
        assert trial["ended"] == run.ended
        assert len(trial["curve"]) == len(run.history)
    assert len(by_outcome["pruned"]) == found["pruned"] > 0
    assert all(run.step < run.total_steps for run in by_outcome["pruned"])
    assert all(run.step == run.total_steps for run in by_outcome["complete"])
    assert len(watched.runs) == 14


def test_a_loss_without_bounds_ends_a_trial_and_the_sweep_goes_on(
    backbone_folder: Path, tmp_path: Path
) -> None:
    space = {"learning_rate": [1e30, 0.01]}
    plan = make_plan(
        backbone_folder, tmp_path, ["mood"], space=space, trials=6, sampler="tpe", pruner="none"
    )
    run_plan(plan, tmp_path / "output", watch=Watched())
    outcomes = {
        trial["settings"]["learning_rate"]: trial["outcome"]
        for trial in sweep_in(tmp_path / "output")["trials"]
    }
    assert outcomes == {1e30: "diverged", 0.01: "complete"}


@pytest.mark.parametrize(
    ("sampler", "pruner", "killed_after"),
    [("random", "successive_halving", 8), ("tpe", "median", 40)],
)
def test_a_killed_sweep_ends_as_if_nothing_had_happened(
    backbone_folder: Path, tmp_path: Path, sampler: str, pruner: str, killed_after: int
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    plan = make_plan(backbone_folder, tmp_path, ["mood"], sampler=sampler, pruner=pruner, trials=12)
    run_plan(plan, whole, watch=Watched())
    with pytest.raises(Killed):
        run_plan(
            plan, killed, seconds_between_checkpoints=0, watch=Watched(stop_after=killed_after)
        )
    run_plan(plan, killed, resume=True, watch=Watched())
    assert sweep_in(killed) == sweep_in(whole)
    one, other = (Prefix.load(folder / "prefix.safetensors") for folder in (whole, killed))
    for name, tensor in one.tensors.items():
        np.testing.assert_array_equal(other.tensors[name], tensor, err_msg=name)


@pytest.mark.parametrize(
    ("sweep", "complaint"),
    [
        ({"space": {}}, "sweep.space"),
        ({"space": {"learn_rate": [0.1]}}, "learn_rate: Extra inputs"),
        ({"space": {"learning_rate": {"low": 0.1, "high": 0.01}}}, "low must be below high"),
        ({"space": {"learning_rate": {"low": 0.0, "high": 1.0, "log": True}}}, "above 0"),
        ({"space": {"learning_rate": {"low": 0.1, "high": float("inf")}}}, "finite number"),
        ({"sampler": "grid", "trials": None, "space": {"seed": [*range(20_000)]}}, "at most 10000"),
        ({"space": {"learning_rate": {"low": -1.0, "high": 1.0}}}, "greater than 0"),
        ({"space": {"prefix_length": {"low": 2.0, "high": 8.0}}}, "valid integer"),
        ({"space": {"prefix_length": {"low": 2, "high": 8, "step": 0.5}}}, "an integer step"),
        (
            {"space": {"prefix_length": {"low": 2, "high": 9, "step": 3}}},
            "plus a multiple",
        ),
        ({"space": {"projection_size": {"low": 2, "high": 8, "log": True, "step": 2}}}, "step"),
        ({"space": {"method": ["prompt"], "projection_size": [8]}}, "not to 'prompt'"),
        ({"space": {"method": ["vectors", "few_shot"]}}, "cannot try method 'few_shot'"),
        ({"space": {"method": ["full", "vectors"]}}, "cannot try method 'full'"),
        ({"space": {"task": ["acme/b"]}}, "cannot change task"),
        ({"sampler": "annealing"}, "sweep.sampler"),
        ({"sampler": "grid", "trials": None}, "found a range for learning_rate"),
        ({"sampler": "grid", "space": {"epochs": [2, 3]}, "trials": 2}, "remove trials"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused_by_name(
    backbone_folder: Path, tmp_path: Path, sweep: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(PlanRejected, match=complaint):
        make_plan(backbone_folder, tmp_path, ["mood"], **{"space": SPACE, **sweep})


def test_without_optuna_a_sweep_says_what_is_missing(
    backbone_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(backbone_folder, tmp_path, ["mood"])
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(PlanRejected, match=r"polyprefix\[sweep\]"):
        run_plan(plan, tmp_path / "output", watch=Watched())


@pytest.mark.parametrize(
    ("space", "complaint"),
    [
        ({"max_rows": [10, 20]}, "cannot change max_rows"),
        ({"max_length": [16, 5000]}, "does not fit the backbone"),
    ],
)
def test_what_no_trial_can_be_is_told_before_the_first_step(
    backbone_folder: Path, tmp_path: Path, space: dict[str, Any], complaint: str
) -> None:
    plan = make_plan(backbone_folder, tmp_path, ["mood"], space=space)
    with pytest.raises(PlanRejected, match=complaint):
        run_plan(plan, tmp_path / "output", watch=Watched())
