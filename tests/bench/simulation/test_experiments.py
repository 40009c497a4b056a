"""Experiments: scenarios run, and a file of results is continued."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from bench.simulation import experiments as module
from bench.simulation.experiments import Experiments
from bench.simulation.routers import ROUTERS
from bench.simulation.scenarios import EXPERIMENTS, INCIDENTS, Scenario
from tests.bench.simulation.scenarios import TIMES

SMALL = Scenario(
    "affinity", 0.5, 0, num_replicas=3, num_tasks=3000, device_mib=1, seconds=8.0, warm_up=1.0
)


@pytest.mark.parametrize("incident", INCIDENTS)
def test_a_scenario_runs_with_each_incident(incident: str) -> None:
    run = replace(SMALL, incident=incident).run(TIMES)
    assert (run.latencies > 0).all()
    joined = {"none": 0, "shift": 0, "crash": 1, "additions": 1}[incident]
    assert len(run.busy_seconds) == 3 + joined


def test_experiments_name_routers_and_incidents_that_exist() -> None:
    scenarios = [one for make in EXPERIMENTS.values() for one in make(0)]
    assert {one.router for one in scenarios} <= set(ROUTERS)
    assert {one.incident for one in scenarios} == set(INCIDENTS)


def test_results_are_continued_and_not_simulated_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        module,
        "EXPERIMENTS",
        {
            "two": lambda seed: iter(
                [replace(SMALL, router=router, seed=seed) for router in ("random", "affinity")]
            )
        },
    )
    experiments = Experiments(tmp_path / "results.json", TIMES)
    seen = [(place, total) for _, place, total in experiments.run(["two"], 1)]
    assert seen == [(1, 2), (2, 2)]
    first = json.loads(experiments.path.read_text())["results"]
    list(experiments.run(["two"], 2))
    results = json.loads(experiments.path.read_text())["results"]
    assert results[:2] == first
    assert [one["scenario"]["seed"] for one in results] == [0, 0, 1, 1]
    assert results[0]["scenario"] == asdict(replace(SMALL, router="random"))
    assert 0 < results[0]["summary"]["device_hits"] < 1
