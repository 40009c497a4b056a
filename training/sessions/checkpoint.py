"""Checkpoints: everything that a killed training needs to end as if nothing had happened.

Random numbers and schedules depend on the seed and the step alone, so a checkpoint holds only what
was learned: parameters, optimizers, the best prefixes and the history.
"""

import dataclasses
import errno
import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile, ZipFile

import torch
from torch import Tensor

from prefixes import Prefix
from prefixes.atomic import atomic_file
from prefixes.backbone import Backbone
from prefixes.backbone.kernels.names import TORCH, Kernels
from prefixes.backbone.precision import dtype_name
from prefixes.disk import disk
from prefixes.errors import StoreUnavailable
from training.errors import CheckpointRejected
from training.examples import TaskData
from training.learning.base_run import Evaluation
from training.learning.run import Run
from training.search.sweep import Event, optuna_version
from training.sessions.warm_start import WarmStart
from training.settings.config import TrainConfig
from training.settings.former_names import FORMER_NAMES, with_current_names
from training.settings.plan import TrainPlan
from training.settings.train_settings import PATH_FIELDS

FORMAT: Final = 4

_LEFT_OUT: Final = PATH_FIELDS | {"threshold", "hierarchy", "reject"}
"""Paths, whose files are compared, and settings of rules for answers, which change no step."""
_LIST_AFTER: Final = 10
_SPACE: Final = "sweep: space"
_ADDED_FACTS: Final = {"linear_kernel": TORCH, "attention_kernel": TORCH}
"""The values of facts that checkpoints of earlier versions lack."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The identity of a training: trainings with equal facts take the same steps."""

    facts: Mapping[str, str]

    @classmethod
    def of(
        cls,
        plan: TrainPlan,
        data: Sequence[TaskData],
        backbone: Backbone,
        starts: Mapping[str, WarmStart],
        teachers: Mapping[str, str],
    ) -> "Identity":
        """Gather the facts. Files may move: their bytes count, not their paths.

        `teachers` has the digests of the teachers that the runs name.
        """
        facts = {
            "dtype": dtype_name(backbone.dtype),
            "linear_kernel": backbone.kernels.linear,
            "attention_kernel": backbone.kernels.attention,
            "tokens_per_batch": str(plan.tokens_per_batch),
            "backbone": backbone.fingerprint.weights_sha256,
            "tokenizer": backbone.fingerprint.tokenizer_sha256,
        }
        if plan.multitask is not None:
            facts["multitask"] = plan.multitask.model_dump_json()
        if plan.sweep is not None:
            facts["optuna"] = optuna_version()
            for name, value in plan.sweep.model_dump(mode="json").items():
                facts[f"sweep: {name}"] = json.dumps(value)
        for config, task in zip(plan.runs, data, strict=True):
            facts[f"{config.run_name}: data"] = task.sha256
            if config.start_from is not None:
                facts[f"{config.run_name}: start_from"] = starts[config.start_from].sha256
            if config.teacher is not None:
                facts[f"{config.run_name}: teacher"] = teachers[config.teacher]
            for name, value in config.model_dump(mode="json", exclude=set(_LEFT_OUT)).items():
                facts[f"{config.run_name}: {name}"] = json.dumps(value)
        return cls(facts)

    def differences(self, saved: Mapping[str, str]) -> list[str]:
        """Name every fact in which a saved training differs from this one."""
        names = dict.fromkeys((*self.facts, *saved))
        before = {name: saved.get(name) or _value_when_missing(name) for name in names}
        return [
            f"{name}: was {before[name]}, is {self.facts.get(name, 'not there')}"
            for name in names
            if before[name] != self.facts.get(name)
        ]


def _value_when_missing(fact: str) -> str:
    """Return the value of a fact that the checkpoint lacks, because it is from an earlier version.

    A setting that was added since then had its default.
    """
    _, is_of_run, setting = fact.rpartition(": ")
    field = TrainConfig.model_fields.get(setting) if is_of_run else None
    if field is None or field.is_required():
        return _ADDED_FACTS.get(fact, "not there")
    return json.dumps(field.get_default(call_default_factory=True))


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """The contents of a checkpoint: the states of the runs in order, and their history.

    `path` is its file, and `facts` are those of the identity of its training. `seconds` is the
    training time so far, `journal` the history of its sweep, and `shared_sha256` the digest of the
    prefix that all runs start from; None while it is still being trained.
    """

    path: Path
    facts: Mapping[str, str]
    seconds: float
    shared_sha256: str | None
    journal: Sequence[Event]
    runs: Sequence[Mapping[str, Any]]

    @property
    def kernels(self) -> Kernels:
        """The kernels that the training runs with. Others would compute other bits."""
        facts = {**_ADDED_FACTS, **self.facts}
        return Kernels(facts["linear_kernel"], facts["attention_kernel"])

    def check(self, identity: Identity) -> None:
        """Check that the checkpoint belongs to a training.

        Raises:
            CheckpointRejected: naming what differs.
        """
        differences = identity.differences(self.facts)
        if differences:
            shown = "\n".join(f"  {line}" for line in differences[:_LIST_AFTER])
            raise CheckpointRejected(
                f"The checkpoint {self.path} belongs to another training, which differs in "
                f"{len(differences)} point(s):\n{shown}\n"
                "Give the same settings and data again, or choose another output folder. Set what "
                "had another default in the version that wrote the checkpoint"
            )

    def restore(self, runs: Sequence[Run]) -> None:
        """Bring freshly started runs to where they were."""
        for run, state in zip(runs, self.runs, strict=True):
            _restore(run, state)


def save_checkpoint(
    path: Path,
    identity: Identity,
    runs: Sequence[Run],
    *,
    seconds: float,
    shared_sha256: str | None = None,
    journal: Sequence[Event] = (),
) -> None:
    """Write a checkpoint; a crash at any moment leaves the earlier one or this one, whole.

    Raises:
        StoreUnavailable: when it cannot be written. The earlier one stays.
    """
    content = {
        "format": FORMAT,
        "identity": dict(identity.facts),
        "seconds": seconds,
        "shared_sha256": shared_sha256,
        "journal": list(journal),
        # Nobody looks at the learner of a trial again that has ended, and trials may be many.
        "runs": [_run_state(run, is_slim=bool(journal) and run.ended is not None) for run in runs],
    }
    with atomic_file(path) as file:
        torch.save(content, file)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        CheckpointRejected: when the file is damaged.
        StoreUnavailable: when the disk fails. The file may be intact.
    """
    try:
        with disk("read", path):
            _check_bytes(path)
            content = torch.load(path, map_location="cpu", weights_only=True)
        version, saved = content["format"], content["identity"]
    except (StoreUnavailable, MemoryError):
        raise  # the caller may delete a rejected file, and this one may be intact
    except Exception as error:  # torch names no common base for what a damaged file brings up
        raise CheckpointRejected(
            f"The checkpoint {path} is damaged ({type(error).__name__}): remove it to start anew"
        ) from error
    if version != FORMAT:
        raise CheckpointRejected(f"The checkpoint {path} has format {version}: expected {FORMAT}")
    members = ("seconds", "shared_sha256", "journal", "runs")
    return Checkpoint(path, _with_current_names(saved), **{name: content[name] for name in members})


def _with_current_names(facts: Mapping[str, str]) -> dict[str, str]:
    """Read the identity that an earlier version wrote, under the names that settings have now."""
    renamed = {}
    for fact, value in facts.items():
        owner, colon, name = fact.rpartition(": ")
        renamed[f"{owner}{colon}{FORMER_NAMES.get(name, name)}"] = value
    if _SPACE in renamed:
        renamed[_SPACE] = json.dumps(with_current_names(json.loads(renamed[_SPACE])))
    return renamed


def _check_bytes(path: Path) -> None:
    """Verify the checksums, which torch ignores: a flipped bit would become another weight."""
    try:
        with ZipFile(path) as archive:
            damaged = archive.testzip()
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise BadZipFile("an offset is outside the file") from error
    if damaged is not None:
        raise BadZipFile(damaged)


def _run_state(run: Run, *, is_slim: bool) -> dict[str, Any]:
    return {
        "step": run.step,
        "ended": run.ended,
        "losses": run.losses,
        "history": [dataclasses.asdict(evaluation) for evaluation in run.history],
        "learner": None if is_slim else run.learner.state_dict(),
        "optimizer": None if is_slim else run.optimizer.state_dict(),
        "average": None if is_slim or run.average is None else run.average.state_dict(),
        "best": None if run.best_prefix is None else _tensors(run.best_prefix),
    }


def _restore(run: Run, state: Mapping[str, Any]) -> None:
    run.step = state["step"]
    run.ended = state["ended"]
    run.losses = list(state["losses"])
    run.history = [Evaluation(**fields) for fields in state["history"]]
    if state["learner"] is not None:
        run.learner.load_state_dict(state["learner"])
        run.optimizer.load_state_dict(state["optimizer"])
    if state["average"] is not None:
        run.average = deepcopy(run.learner)
        run.average.load_state_dict(state["average"])
    run.best_prefix = None if state["best"] is None else _prefix(run, state["best"])


def _tensors(prefix: Prefix) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array) for name, array in prefix.tensors.items()}


def _prefix(run: Run, tensors: Mapping[str, Tensor]) -> Prefix:
    return Prefix(run.spec, {name: tensor.numpy() for name, tensor in tensors.items()})
