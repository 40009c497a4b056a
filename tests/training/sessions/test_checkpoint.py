"""Checkpoints: a killed training ends as if nothing had happened, and nothing else is resumed."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from torch import Tensor

from prefixes import Prefix
from prefixes.backbone import Backbone, load_backbone
from prefixes.backbone.kernels import linear
from prefixes.backbone.kernels.names import AUTO, ONEDNN, PLAIN, Kernels
from prefixes.errors import StoreUnavailable
from tests.kernels import FIRST_AND_LAST_KERNELS, needs_onednn
from tests.training.learnable_tasks import ROWS_OF, sentiment_rows, topic_rows, write_jsonl
from training.errors import CheckpointRejected, TrainingError, TrainingStopped
from training.learning.parallel import OneProcess
from training.learning.run import Run
from training.sessions import checkpoint, session
from training.sessions.checkpoint import Identity, load_checkpoint, save_checkpoint
from training.sessions.files import CHECKPOINT
from training.sessions.session import run_plan
from training.settings.plan import TrainPlan, check_plan

# A process of its own that saves after every step and is slow enough to be killed midway.
SCRIPT = """
import json, sys, time
from pathlib import Path
import torch
from training.settings.plan import check_plan
from training.sessions.session import run_plan

fields, output = json.loads(sys.argv[1]), Path(sys.argv[2])
torch.set_num_threads(int(sys.argv[3]))  # sums are added up in another order with other threads
run_plan(
    check_plan(fields, origin="test"),
    output,
    seconds_between_checkpoints=0,
    watch=lambda runs: time.sleep(0.05),
)
"""


MEASURED: Final = Kernels(AUTO, AUTO)


def names_of(kernels: Kernels) -> dict[str, str]:
    return {"linear_kernel": kernels.linear, "attention_kernel": kernels.attention}


def fields_of(
    backbone_folder: Path, data: Path, *, kernels: Kernels = MEASURED, **changes: Any
) -> dict[str, Any]:
    """Two runs that end at different steps, with every sort of noise and state in them."""
    words, topics = data / "words.jsonl", data / "topics.jsonl"
    if not words.exists():
        write_jsonl(words, sentiment_rows(40))
        write_jsonl(topics, topic_rows(40))
    recipe = {
        "prefix_length": 4,
        "max_length": 32,
        "batch_size": 8,
        "feature_dropout": 0.2,
        "prefix_dropout": 0.1,
        "hidden_dropout": 0.1,
        "learning_rate": 0.02,
        "min_steps": 1,
    }
    runs = [
        {
            **recipe,
            "task": "acme/words",
            "train": str(words),
            "averaging": 0.8,
            "epochs": 3,
            **changes,
        },
        {
            **recipe,
            "task": "acme/topics",
            "train": str(topics),
            "problem_type": "multi_label_classification",
            "projection_size": 8,
            "head_activation": "tanh",
            "epochs": 6,
        },
    ]
    return {
        "runs": runs,
        "backbone": str(backbone_folder),
        "device": "cpu",
        **names_of(kernels),
    }


def make_plan(backbone_folder: Path, data: Path, **changes: Any) -> TrainPlan:
    return check_plan(fields_of(backbone_folder, data, **changes), origin="test")


def tensors_in(file: Path) -> Mapping[str, Any]:
    return Prefix.load(file).tensors


def ignore(_: object) -> None:
    pass


class Killed(Exception):
    pass


def stop_at(step: int) -> Any:
    def watch(runs: list[Run]) -> None:
        if runs[0].step == step:
            raise Killed

    return watch


@pytest.mark.parametrize("kernels", FIRST_AND_LAST_KERNELS, indirect=True)
def test_a_training_killed_at_any_moment_ends_with_the_very_same_prefixes(
    backbone_folder: Path, tmp_path: Path, kernels: Kernels
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    fields = fields_of(backbone_folder, tmp_path, kernels=kernels)
    plan = check_plan(fields, origin="test")
    run_plan(plan, whole, watch=ignore)
    arguments = [sys.executable, "-c", SCRIPT, json.dumps(fields)]
    root = Path(__file__).parents[3]
    process = subprocess.Popen(
        [*arguments, str(killed), str(torch.get_num_threads())],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    deadline = time.monotonic() + 120
    while not (killed / CHECKPOINT).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.4)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the training ended before it was killed"
    run_plan(plan, killed, resume=True, watch=ignore)
    for task in ("acme/words", "acme/topics"):
        one, other = (
            tensors_in(folder / task / "prefix.safetensors") for folder in (whole, killed)
        )
        for name, tensor in one.items():
            np.testing.assert_array_equal(other[name], tensor, err_msg=f"{task}: {name}")
        histories = [
            json.loads((folder / task / "report.json").read_text())["history"]
            for folder in (whole, killed)
        ]
        assert histories[0] == histories[1]


class StoppedTogether(OneProcess):
    """The first of two processes, the other of which is stopped after the second step."""

    def __init__(self) -> None:
        self.num_looks = 0

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        if len(tensors) == 1:
            self.num_looks += 1
            tensors[0] += float(self.num_looks == 3)


def test_a_process_stops_with_another_one_and_saves(
    backbone_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "join_processes", lambda device: (StoppedTogether(), device))
    steps: list[int] = []
    with pytest.raises(TrainingStopped, match="another process"):
        run_plan(
            make_plan(backbone_folder, tmp_path),
            tmp_path / "output",
            watch=lambda runs: steps.append(runs[0].step),
        )
    assert steps == [0, 1, 2]
    assert (tmp_path / "output" / CHECKPOINT).exists()


def test_every_type_of_task_goes_on_where_it_was(
    backbone_folder: Path, tmp_path: Path, kernels: Kernels
) -> None:
    runs = [
        {
            "task": f"acme/{task_type}",
            "task_type": task_type,
            "method": ("prefix", "prompt", "vectors")[number % 3],
            "train": str(write_jsonl(tmp_path / f"{task_type}.jsonl", rows(24))),
            "max_length": 32,
            "batch_size": 8,
            "max_steps": 5,
        }
        for number, (task_type, rows) in enumerate(ROWS_OF.items())
    ]
    fields = {
        "runs": runs,
        "backbone": str(backbone_folder),
        "device": "cpu",
        **names_of(kernels),
    }
    plan = check_plan(fields, origin="test")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run_plan(plan, whole, watch=ignore)
    with pytest.raises(Killed):
        run_plan(plan, killed, seconds_between_checkpoints=0, watch=stop_at(4))
    run_plan(plan, killed, resume=True, watch=ignore)
    files = sorted(path.relative_to(whole) for path in whole.rglob("*.safetensors"))
    assert len(files) == 5
    for file in files:
        one, other = tensors_in(whole / file), tensors_in(killed / file)
        for name, tensor in one.items():
            np.testing.assert_array_equal(other[name], tensor, err_msg=f"{file}: {name}")


@pytest.fixture
def interrupted(backbone_folder: Path, tmp_path: Path) -> Path:
    """The folder of a training that stopped after a few steps."""
    output = tmp_path / "output"
    plan = make_plan(backbone_folder, tmp_path)
    with pytest.raises(Killed):
        run_plan(plan, output, seconds_between_checkpoints=0, watch=stop_at(7))
    return output


def test_an_unfinished_training_is_not_overwritten(
    backbone_folder: Path, tmp_path: Path, interrupted: Path
) -> None:
    plan = make_plan(backbone_folder, tmp_path)
    with pytest.raises(TrainingError, match="add --resume"):
        run_plan(plan, interrupted, watch=ignore)


def test_another_recipe_is_not_resumed_and_every_difference_is_named(
    backbone_folder: Path, tmp_path: Path, interrupted: Path
) -> None:
    other = make_plan(backbone_folder, tmp_path, learning_rate=0.5, seed=9)
    with pytest.raises(CheckpointRejected) as caught:
        run_plan(other, interrupted, resume=True, watch=ignore)
    message = str(caught.value)
    assert "acme/words: learning_rate: was 0.02, is 0.5" in message
    assert "acme/words: seed: was 0, is 9" in message
    assert "acme/topics" not in message


def test_a_checkpoint_of_an_earlier_version_is_resumed(
    backbone_folder: Path, tmp_path: Path, interrupted: Path
) -> None:
    file = interrupted / CHECKPOINT
    content = torch.load(file, weights_only=True)
    facts = content["identity"]
    content["identity"] = {x.replace("initialization", "initialisation"): facts[x] for x in facts}
    assert content["identity"] != facts
    torch.save(content, file)
    steps: list[int] = []
    run_plan(
        make_plan(backbone_folder, tmp_path, initialisation=None),
        interrupted,
        resume=True,
        watch=lambda runs: steps.append(runs[0].step),
    )
    assert steps[0] == 6


def test_a_checkpoint_of_an_earlier_version_may_search_a_renamed_setting(tmp_path: Path) -> None:
    file = tmp_path / CHECKPOINT
    facts = {"sweep: space": json.dumps({"initialization": ["activations", "noise"]})}
    save_checkpoint(file, Identity(facts), [], seconds=1.0)
    content = torch.load(file, weights_only=True)
    content["identity"] = {"sweep: space": facts["sweep: space"].replace("zation", "sation")}
    torch.save(content, file)
    assert load_checkpoint(file).seconds == 1.0
    load_checkpoint(file).check(Identity(facts))


def test_other_data_are_not_resumed(
    backbone_folder: Path, tmp_path: Path, interrupted: Path
) -> None:
    write_jsonl(tmp_path / "words.jsonl", sentiment_rows(40, seed=1))
    plan = make_plan(backbone_folder, tmp_path)
    with pytest.raises(CheckpointRejected, match="acme/words: data"):
        run_plan(plan, interrupted, resume=True, watch=ignore)


def test_data_that_moved_are_resumed(
    backbone_folder: Path, tmp_path: Path, interrupted: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for path in tmp_path.glob("*.jsonl"):
        path.rename(elsewhere / path.name)
    plan = make_plan(backbone_folder, elsewhere)
    steps: list[int] = []
    run_plan(plan, interrupted, resume=True, watch=lambda runs: steps.append(runs[0].step))
    assert steps[0] == 6  # the last step that was saved before the interruption


def test_a_damaged_checkpoint_is_refused(
    backbone_folder: Path, tmp_path: Path, interrupted: Path
) -> None:
    file = interrupted / CHECKPOINT
    file.write_bytes(file.read_bytes()[:1000])
    plan = make_plan(backbone_folder, tmp_path)
    with pytest.raises(CheckpointRejected, match="is damaged"):
        run_plan(plan, interrupted, resume=True, watch=ignore)


def test_a_flipped_bit_in_a_checkpoint_is_found(
    backbone_folder: Path, tmp_path: Path, interrupted: Path
) -> None:
    file = interrupted / CHECKPOINT
    with ZipFile(file) as archive:
        tensors = [item for item in archive.infolist() if "/data/" in item.filename]
        tensor = max(tensors, key=lambda item: item.file_size)
        place = file.read_bytes().index(archive.read(tensor)) + tensor.file_size // 2
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)
    plan = make_plan(backbone_folder, tmp_path)
    with pytest.raises(CheckpointRejected, match="is damaged"):
        run_plan(plan, interrupted, resume=True, watch=ignore)


def test_an_offset_outside_a_checkpoint_is_damage(tmp_path: Path) -> None:
    file = tmp_path / CHECKPOINT
    save_checkpoint(file, Identity({}), [], seconds=1.0)
    data = bytearray(file.read_bytes())
    data[data.rindex(b"PK\5\6") - 21] ^= 0x80  # the place of the directory becomes negative
    file.write_bytes(data)
    with pytest.raises(CheckpointRejected, match="is damaged"):
        load_checkpoint(file)


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (OSError(errno.EIO, "Input/output error"), StoreUnavailable),
        (PermissionError(errno.EACCES, "Permission denied"), StoreUnavailable),
        (MemoryError(), MemoryError),
    ],
    ids=["disk", "permission", "memory"],
)
def test_a_checkpoint_that_cannot_be_read_is_not_damaged(
    failure: Exception,
    expected: type[Exception],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> NoReturn:
        raise failure

    file = tmp_path / CHECKPOINT
    save_checkpoint(file, Identity({}), [], seconds=1.0)
    monkeypatch.setattr(checkpoint, "ZipFile", fail)
    with pytest.raises(expected) as caught:
        load_checkpoint(file)
    assert not isinstance(caught.value, CheckpointRejected)
    assert file.exists()


def test_another_format_is_named_whatever_its_identity_is(tmp_path: Path) -> None:
    file = tmp_path / CHECKPOINT
    torch.save({"format": 5, "identity": ["other"]}, file)
    with pytest.raises(CheckpointRejected, match="has format 5: expected 4"):
        load_checkpoint(file)


def test_resuming_where_nothing_was_begins(backbone_folder: Path, tmp_path: Path) -> None:
    plan = make_plan(backbone_folder, tmp_path)
    trained = run_plan(plan, tmp_path / "new", resume=True, watch=ignore)
    assert [one.config.task for one in trained] == ["acme/words", "acme/topics"]


def test_a_checkpoint_runs_no_code_when_it_is_read(
    backbone_folder: Path, tmp_path: Path, interrupted: Path
) -> None:
    import pickle

    class Trap:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.mkdir, (str(tmp_path / "trapped"),)

    file = interrupted / CHECKPOINT
    file.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(CheckpointRejected):
        run_plan(make_plan(backbone_folder, tmp_path), interrupted, resume=True, watch=ignore)
    assert not (tmp_path / "trapped").exists()


@needs_onednn
def test_a_checkpoint_is_resumed_with_its_kernels_whatever_a_new_measurement_says(
    backbone_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = make_plan(backbone_folder, tmp_path, kernels=Kernels(ONEDNN))
    output = tmp_path / "output"
    with pytest.raises(Killed):
        run_plan(packed, output, seconds_between_checkpoints=0, watch=stop_at(6))
    assert load_checkpoint(output / CHECKPOINT).kernels == Kernels("onednn", "torch")
    loaded = spy_on_loading(monkeypatch)

    run_plan(make_plan(backbone_folder, tmp_path), output, resume=True, watch=ignore)

    assert loaded == [Kernels("onednn", "torch")]


@needs_onednn
def test_a_checkpoint_of_other_kernels_than_the_named_ones_is_not_resumed(
    backbone_folder: Path, tmp_path: Path, interrupted: Path
) -> None:
    plan = make_plan(backbone_folder, tmp_path, kernels=Kernels(ONEDNN))

    with pytest.raises(CheckpointRejected, match="linear_kernel: was torch, is onednn"):
        run_plan(plan, interrupted, resume=True, watch=ignore)


def test_a_checkpoint_without_kernels_was_trained_with_plain_ones(
    backbone_folder: Path, tmp_path: Path, interrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = torch.load(interrupted / CHECKPOINT, weights_only=True)
    for name in ("linear_kernel", "attention_kernel"):
        del content["identity"][name]
    torch.save(content, interrupted / CHECKPOINT)
    loaded = spy_on_loading(monkeypatch)

    run_plan(make_plan(backbone_folder, tmp_path), interrupted, resume=True, watch=ignore)

    assert loaded == [PLAIN]


def test_a_checkpoint_of_kernels_that_do_not_run_here_is_rejected(
    backbone_folder: Path, tmp_path: Path, interrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = torch.load(interrupted / CHECKPOINT, weights_only=True)
    content["identity"]["linear_kernel"] = "onednn"
    torch.save(content, interrupted / CHECKPOINT)

    def fail(_: object) -> NoReturn:
        raise RuntimeError("needs another processor")

    monkeypatch.setattr(linear, "PackedLinear", fail)

    with pytest.raises(CheckpointRejected, match="needs kernels that this machine does not supp"):
        run_plan(make_plan(backbone_folder, tmp_path), interrupted, resume=True, watch=ignore)


def spy_on_loading(monkeypatch: pytest.MonkeyPatch) -> list[Kernels]:
    """Return a list of the kernels of all backbones that are loaded to train."""
    loaded: list[Kernels] = []

    def load(*arguments: Any, **options: Any) -> Backbone:
        backbone = load_backbone(*arguments, **options)
        loaded.append(backbone.kernels)
        return backbone

    monkeypatch.setattr("training.sessions.backbone.load_backbone", load)
    return loaded
