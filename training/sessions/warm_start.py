"""Warm starts: a prefix starts from a published prefix, as far as the two match."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from prefixes import Prefix, PrefixError, PrefixSpec, digest_of
from prefixes.backbone.resident import stacked_slots
from prefixes.fingerprint import BackboneFingerprint
from prefixes.prefix import Array
from training.errors import PlanRejected
from training.learning.initialization import StartingPrefix
from training.learning.run import Run
from training.learning.vector_rows import VectorRows
from training.sessions.prefix_sources import read_published
from training.settings.config import TrainConfig
from training.settings.defaults import method_defaults
from training.settings.plan import TrainPlan

_SHAPE: Final = ("method", "prefix_length", "position_offset", "rank")
"""These must be equal, because they determine the meaning of the trained values."""


@dataclass(frozen=True, slots=True, eq=False)
class WarmStart:
    """A prefix that runs can start from."""

    name: str
    sha256: str
    prefix: Prefix

    @classmethod
    def read(cls, source: str, *, fits: BackboneFingerprint, key: str = "") -> Self:
        """Read a prefix file, as `read_published` takes its source.

        Raises:
            PlanRejected: when it cannot be read, or is for another backbone.
        """
        data = read_published(source, key=key)
        place, hash_, reference = source.partition("#")
        try:
            prefix = Prefix.from_bytes(data, fits=[fits])
        except PrefixError as error:
            raise PlanRejected(f"start_from {source!r}: {error}") from error
        return cls(reference if hash_ else Path(place).name, digest_of(data), prefix)

    def check(self, spec: PrefixSpec, run_name: str) -> None:
        """Check that a new prefix can start from this one.

        Raises:
            PlanRejected: naming all differences that change the meaning of the trained values.
        """
        if (self.prefix.spec.method, spec.method) == ("head", "vectors"):
            return  # vectors begin as zeros, with which the backbone is that of the head
        differences = _differences(self.prefix.spec, spec, _SHAPE)
        if differences:
            raise PlanRejected(
                f"{run_name} cannot start from {self.name}: {'; '.join(differences)}. Use the same "
                "settings, or remove start_from"
            )

    def hand_over(self, run: Run) -> StartingPrefix:
        """Initialize a new run with this prefix, and with its head if that fits."""
        learner, tensors = run.learner, self.prefix.tensors
        with torch.no_grad():
            if self.prefix.spec.method != "head":  # which has no keys, values or prompt
                learner.table.copy_(_table(self.prefix))
            differs = _head_differences(self.prefix.spec, learner.spec)
            if not differs and learner.output is not None:
                scale = run.rows.scale  # a regression learns targets of mean 0 and deviation 1
                weight, bias = tensors["head.output.weight"], tensors["head.output.bias"]
                _copy(learner.output, weight / scale.spread, (bias - scale.center) / scale.spread)
            if not differs and learner.dense is not None:
                _copy(learner.dense, tensors["head.dense.weight"], tensors["head.dense.bias"])
        return StartingPrefix(self.name, self.sha256, tuple(differs))


def read_starts(
    configs: Iterable[TrainConfig], *, fits: BackboneFingerprint, key: str = ""
) -> dict[str, WarmStart]:
    """Read the initial prefixes of runs. Each source is read once.

    Raises:
        PlanRejected: as `WarmStart.read`.
    """
    sources = dict.fromkeys(config.start_from for config in configs)
    return {source: WarmStart.read(source, fits=fits, key=key) for source in sources if source}


def with_shapes(plan: TrainPlan, starts: Mapping[str, WarmStart]) -> TrainPlan:
    """Give every run the method and shape of its initial prefix, if the run leaves them open.

    From a head alone, a run trains the default method.

    Raises:
        PlanRejected: when other settings contradict the method.
    """
    if not starts:
        return plan
    try:
        runs = tuple(_with_shape(config, starts) for config in plan.runs)
        return TrainPlan.model_validate({**dict(plan), "runs": runs})  # a sweep must still fit
    except ValidationError as error:
        reasons = "; ".join(detail["msg"] for detail in error.errors())
        raise PlanRejected(f"The settings do not fit start_from: {reasons}") from error


def _with_shape(config: TrainConfig, starts: Mapping[str, WarmStart]) -> TrainConfig:
    if config.start_from is None:
        return config
    shape = _shape_for(config, starts[config.start_from].prefix.spec)
    return TrainConfig.model_validate({**shape, **config.model_dump(exclude_unset=True)})


def _shape_for(config: TrainConfig, spec: PrefixSpec) -> dict[str, Any]:
    """Return the settings with which a training makes a prefix of the shape of `spec`."""
    sets_method = "method" in config.model_fields_set or spec.method == "head"
    if sets_method and config.method != spec.method:
        # `check` reports a method that cannot start from the other.
        return method_defaults(config.method, config.task_type)
    shape: dict[str, Any] = {"method": spec.method, "prefix_length": spec.prefix_length}
    by_default = spec.prefix_length if spec.method == "prefix" else 0
    offset = {"position_offset": spec.position_offset}
    if spec.method == "vectors":
        shape["rank"] = spec.rank
    return shape if spec.position_offset == by_default else shape | offset


def _table(prefix: Prefix) -> Tensor:
    """Return the values in the layout of a learner's table: the inverse of folding."""
    if prefix.spec.method == "prompt":
        return _tensor(prefix.tensors["prompt.embeddings"])
    table = stacked_slots(prefix).permute(2, 0, 1, 3, 4).flatten(1)  # (n, L*2*H*D)
    return table / VectorRows.of(prefix.spec).factors if prefix.spec.rank else table


def _head_differences(theirs: PrefixSpec, mine: PrefixSpec) -> list[str]:
    differences = _differences(theirs, mine, ("task_type", "problem_type"))
    if theirs.labels != mine.labels:
        differences.append("other labels")
    if theirs.head != mine.head:
        differences.append("another pooling or activation")
    return differences


def _differences(theirs: PrefixSpec, mine: PrefixSpec, names: Iterable[str]) -> list[str]:
    pairs = ((name, getattr(theirs, name), getattr(mine, name)) for name in names)
    return [f"{name} was {there}, is {here}" for name, there, here in pairs if there != here]


def _tensor(array: Array) -> Tensor:
    return torch.as_tensor(array, dtype=torch.float32)


def _copy(layer: nn.Linear, weight: Array, bias: Array) -> None:
    layer.weight.copy_(_tensor(weight))
    layer.bias.copy_(_tensor(bias))
