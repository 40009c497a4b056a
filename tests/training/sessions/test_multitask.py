"""Multi-task prefixes: learned by all tasks at once, then gone on with by each on its own."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from prefixes import Prefix, digest_of
from prefixes.backbone import Backbone
from tests.training.learnable_tasks import (
    count_rows,
    pair_rows,
    partner_rows,
    sentiment_rows,
    start,
    step_all,
    tagged_rows,
    train_all,
    write_jsonl,
)
from training.data.parts import load_task
from training.errors import PlanRejected, TrainingError
from training.learning.run import Run
from training.sessions.multitask import SharedPrefix
from training.sessions.plan_runs import PlanRuns
from training.sessions.session import run_plan
from training.sessions.warm_start import WarmStart
from training.settings.plan import TrainPlan, check_plan

TASKS = {
    "mood": (sentiment_rows, {}),
    "denial": (pair_rows, {}),
    "number": (count_rows, {"problem_type": "regression"}),
    "tags": (tagged_rows, {"task_type": "token_classification"}),
    "vectors": (partner_rows, {"task_type": "embedding"}),
}


def make_plan(
    backbone_folder: Path, data: Path, tasks: Sequence[str], steps: int = 3, **changes: Any
) -> TrainPlan:
    runs = [
        {
            "task": f"acme/{task}",
            "train": str(write_jsonl(data / f"{task}.jsonl", TASKS[task][0](40))),
            "prefix_length": 4,
            "max_length": 32,
            "batch_size": 8,
            "feature_dropout": 0.1,
            "prefix_dropout": 0.1,
            "max_steps": 5,
            **TASKS[task][1],
            **changes,
        }
        for task in tasks
    ]
    return check_plan(
        {
            "runs": runs,
            "backbone": str(backbone_folder),
            "device": "cpu",
            "multitask": {"steps": steps},
        },
        origin="test",
    )


def sharing(plan: TrainPlan, backbone: Backbone) -> list[Run]:
    tasks = [load_task(config) for config in plan.runs]
    return PlanRuns.begin_sharing(plan, tasks, backbone, {}, saved=None).runs


def going_on(plan: TrainPlan, backbone: Backbone, shared: SharedPrefix) -> list[Run]:
    tasks = [load_task(config) for config in plan.runs]
    return PlanRuns.begin(plan, tasks, backbone, {}, saved=None, shared=shared).runs


VECTORS = {"method": "vectors", "prefix_length": 0, "prefix_dropout": 0.0, "rank": 0}


@pytest.mark.parametrize(
    "settings",
    [{}, {"projection_size": 8}, {"method": "prompt"}, VECTORS, {**VECTORS, "rank": 3}],
)
def test_tasks_share_one_prefix_at_first_and_part_afterwards(
    backbone: Backbone, backbone_folder: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    plan = make_plan(backbone_folder, tmp_path, list(TASKS), steps=2, **settings)
    first = sharing(plan, backbone)
    begun = first[0].learner.table.detach().clone()
    train_all(backbone, first)
    assert [run.ended for run in first] == ["all steps were taken"] * 5
    steerings = [run.learner.prefix_tensor() for run in first]
    assert not torch.equal(first[0].learner.table, begun)
    for run, steering in zip(first, steerings, strict=True):
        assert run.learner.table is first[0].learner.table
        assert torch.equal(steering, steerings[0])
    second = going_on(plan, backbone, SharedPrefix.of(first))
    for run, before in zip(second, first, strict=True):
        for name, tensor in before.learner.state_dict().items():
            assert torch.equal(run.learner.state_dict()[name], tensor), name
    step_all(backbone, second)
    tables = [run.learner.table for run in second]
    assert all(not torch.equal(table, first[0].learner.table) for table in tables)
    assert all(not torch.equal(one, tables[0]) for one in tables[1:])


def plainly(run: Run, *, steers: bool = True) -> Run:
    """Let a run go down its gradient as it is, so that a step tells what the gradient was."""
    prefix = run.learner.prefix_parameters() if steers else []
    groups = [{"params": prefix}, {"params": run.learner.head_parameters()}]
    run.optimizer = torch.optim.SGD(groups)
    return run


def test_the_gradients_of_all_tasks_add_up_in_the_shared_prefix(
    backbone: Backbone, backbone_folder: Path, tmp_path: Path
) -> None:
    recipe: dict[str, Any] = {
        "feature_dropout": 0.0,
        "prefix_dropout": 0.0,
        "initialization": "noise",
        "max_gradient_norm": 1e6,
        "schedule": "constant",
        "warmup": 0.0,
        "learning_rate": 0.5,
    }
    plan = make_plan(backbone_folder, tmp_path, ["mood", "tags", "number"], **recipe)
    together = sharing(plan, backbone)
    begun = together[0].learner.table.detach().clone()
    moved = torch.zeros_like(begun)
    for config in plan.runs:
        alone = plainly(start(backbone, config))
        assert torch.equal(alone.learner.table, begun)  # of one seed and one spread
        step_all(backbone, [alone])
        moved += alone.learner.table.detach() - begun
    for run in together:
        plainly(run, steers=run is together[0])
    step_all(backbone, together)
    np.testing.assert_allclose(
        (together[0].learner.table.detach() - begun).numpy(),
        moved.numpy(),
        rtol=1e-3,
        atol=1e-6,
    )
    assert float(moved.abs().max()) > 1e-3


class Killed(Exception):
    pass


class Killer:
    """Stops a training after so many steps of all its phases."""

    def __init__(self, steps: int) -> None:
        self._calls_left = steps

    def __call__(self, runs: Sequence[Run]) -> None:
        if all(run.step for run in runs):
            self._calls_left -= 1
        if not self._calls_left:
            raise Killed


def test_a_training_killed_in_any_phase_ends_with_the_very_same_prefixes(
    backbone_folder: Path, tmp_path: Path
) -> None:
    plan = make_plan(backbone_folder, tmp_path, ["mood", "denial"], golden_examples=0)
    whole = tmp_path / "whole"
    run_plan(plan, whole, watch=lambda _: None)
    for killed_at in (2, 4, 7):  # of 3 steps together, and 5 apart
        killed = tmp_path / f"killed-{killed_at}"
        with pytest.raises(Killed):
            run_plan(plan, killed, seconds_between_checkpoints=0, watch=Killer(killed_at))
        run_plan(plan, killed, resume=True, watch=lambda _: None)
        for name in ("shared", "acme/mood/prefix", "acme/denial/prefix"):
            one, other = (
                Prefix.load(folder / f"{name}.safetensors").tensors for folder in (whole, killed)
            )
            for tensor in one:
                np.testing.assert_array_equal(other[tensor], one[tensor], err_msg=name)
        report = json.loads((killed / "acme/mood/report.json").read_text(encoding="utf-8"))
        shared = digest_of((killed / "shared.safetensors").read_bytes())
        assert report["multitask"]["sha256"] == shared


def test_the_shared_prefix_is_a_start_for_later_tasks_and_stands_in_their_provenance(
    backbone: Backbone, backbone_folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "output"
    plan = make_plan(backbone_folder, tmp_path, ["mood", "denial"])
    trained = run_plan(plan, output, watch=lambda _: None)
    path = output / "shared.safetensors"
    for one in trained:
        provenance = Prefix.load(one.file).spec.provenance
        assert provenance is not None
        assert provenance.recipe["multitask"] == {
            "sha256": digest_of(path.read_bytes()),
            "steps": 3,
            "tasks": ["acme/mood", "acme/denial"],
        }
    report = json.loads((output / "acme/mood/report.json").read_text(encoding="utf-8"))
    assert report["timing"]["num_rows"] == 2 * (24 + 36)  # 3 steps, then 5
    start_of = WarmStart.read(str(path), fits=backbone.fingerprint)
    config = plan.runs[0].model_copy(update={"start_from": str(path)})
    later = start(backbone, config)
    assert "a head of its own" in str(start_of.hand_over(later))
    folded = later.learner.fold().tensors["prefix.keys"]
    np.testing.assert_allclose(folded, start_of.prefix.tensors["prefix.keys"], rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"prefix_length": 6}, "same prefix_length: found 4, 6"),
        ({"method": "prompt"}, "same method: found prefix, prompt"),
        ({"projection_size": 8}, "same projection_size: found None, 8"),
        ({"position_offset": 2}, "same position_offset: found 4, 2"),
        ({"task": "acme/a", "variant": "again"}, "one run of each task"),
    ],
)
def test_tasks_that_cannot_share_are_refused_by_name(
    changes: dict[str, Any], complaint: str
) -> None:
    run = {"task": "acme/a", "train": "x", "prefix_length": 4}
    other = {**run, "task": "acme/b", **changes}
    fields = {"runs": [run, other], "multitask": {"steps": 5}}
    with pytest.raises(PlanRejected, match=complaint):
        check_plan(fields, origin="test")


def test_one_task_has_nothing_to_share_and_a_sweep_takes_a_shared_prefix_as_its_start() -> None:
    fields: dict[str, Any] = {"runs": [{"task": "acme/a", "train": "x"}], "multitask": {}}
    with pytest.raises(PlanRejected, match="at least two tasks"):
        check_plan(fields, origin="test")
    fields["sweep"] = {"space": {"epochs": [2, 3]}}
    with pytest.raises(PlanRejected, match=r"\[multitask\] and \[sweep\]"):
        check_plan(fields, origin="test")


def test_a_loss_without_bounds_shares_nothing(backbone_folder: Path, tmp_path: Path) -> None:
    plan = make_plan(backbone_folder, tmp_path, ["mood", "denial"], learning_rate=1e30)
    with pytest.raises(TrainingError, match="No prefix could be shared: acme/mood/shared diverged"):
        run_plan(plan, tmp_path / "output", watch=lambda _: None)
