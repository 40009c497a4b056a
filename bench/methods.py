"""The compared training methods: prefixes, full fine-tuning, and PEFT's prefixes."""

import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from peft import PrefixTuningConfig, TaskType, get_peft_model
from torch import nn

from bench.kernels import KernelSettings, plain_arguments
from bench.scores import Score
from prefixes.backbone import Backbone, load_backbone
from training.baselines.fine_tuning import Adapt, FineTuningRun, learn
from training.data.parts import load_task
from training.learning.base_run import BaseRun
from training.sessions.few_shot_session import fit_plan
from training.sessions.method_choice import load_rows
from training.sessions.session import run_plan
from training.sessions.trained import TrainedPrefix
from training.settings.config import TrainConfig
from training.settings.defaults import DEFAULT_LENGTH
from training.settings.plan import TrainPlan
from training.settings.sweep_plan import with_settings

_BATCH: Final = 32
_MIN_STEPS: Final = 400
_TOKENS_AT_ONCE: Final = 4096
"""Maximum number of tokens per pass; a batch accumulates gradients over several passes."""

Dtype = Literal["float32", "bfloat16"]
Settings = Mapping[str, float]
Report = Callable[[str], None]


@dataclass(frozen=True)
class Place:
    """The backbone of all methods, its device, and the number type of its computations.

    Trained weights are always in float32. `kernels` are those that our prefixes are trained with.
    """

    backbone: str
    device: str
    dtype: Dtype
    kernels: KernelSettings

    @cached_property
    def loaded(self) -> Backbone:
        """The backbone with plain layers, since other methods copy and train its weights."""
        return load_backbone(
            self.backbone,
            device=self.device,
            dtype=self.dtype,
            to_train=True,
            **plain_arguments(),
        )


class Method(Protocol):
    """A training method; `grid` lists the settings from which validation rows choose."""

    @property
    def name(self) -> str: ...

    @property
    def grid(self) -> Sequence[Settings]: ...

    def config_of(self, config: TrainConfig, settings: Settings) -> TrainConfig:
        """Return the configuration of a run, with the defaults of the method."""

    def learn(
        self, configs: Sequence[TrainConfig], place: Place, settings: Settings, report: Report
    ) -> Iterator[Score]:
        """Train one task with the seeds of several configurations."""


@dataclass(frozen=True, slots=True)
class Ours:
    """A method of ours with the default recipe; all seeds that train use the same batches."""

    name: Literal["prefix", "vectors", "few_shot"]
    grid: Sequence[Settings] = ({},)

    def config_of(self, config: TrainConfig, settings: Settings) -> TrainConfig:
        return with_settings(config, {**settings, "method": self.name}, f"seed-{config.seed}")

    def learn(
        self, configs: Sequence[TrainConfig], place: Place, settings: Settings, report: Report
    ) -> Iterator[Score]:
        runs = tuple(self.config_of(config, settings) for config in configs)
        kernels: dict[str, Any] = {
            "linear_kernel": place.kernels.linear,
            "attention_kernel": place.kernels.attention,
        }
        plan = TrainPlan(
            runs=runs,
            backbone=place.backbone,
            device=place.device,
            dtype=place.dtype,
            **kernels,
        )
        started = time.perf_counter()
        trained = _trained(plan, place.kernels.cache, report)
        seconds = (time.perf_counter() - started) / len(runs)
        for one in trained:
            provenance = one.finished.prefix.spec.provenance
            assert provenance is not None
            assert one.finished.test is not None
            yield Score(
                task=_name(one.config),
                method=self.name,
                settings=settings,
                seed=one.config.seed,
                dtype=place.dtype,
                rows=provenance.train_rows or 0,
                chosen_by=one.config.metric,
                validation=one.finished.validation.metrics,
                test=one.finished.test.metrics,
                seconds=seconds,
            )


def _trained(plan: TrainPlan, cache: Path, report: Report) -> list[TrainedPrefix]:
    with tempfile.TemporaryDirectory() as folder:
        if plan.is_few_shot:
            plan, data = load_rows(plan)
            return fit_plan(plan, Path(folder), data=data, kernel_cache=cache)
        return run_plan(plan, Path(folder), watch=EvaluationReport(report), kernel_cache=cache)


@dataclass(frozen=True, slots=True)
class PaddedLoop:
    """The usual loop over padded batches with transformers' own class.

    It trains the whole model, or the weights that `adapt` leaves trainable, for 4 epochs unless
    `grid` has others, or for 400 steps of 32 rows, whichever is more.
    """

    name: str
    grid: Sequence[Settings]
    weight_decay: float
    adapt: Adapt | None = None

    def config_of(self, config: TrainConfig, settings: Settings) -> TrainConfig:
        own = {
            "method": "full",
            "weight_decay": self.weight_decay,
            "batch_size": _BATCH,
            "epochs": 4,
            "min_steps": _MIN_STEPS,
        }
        return with_settings(config, {**own, **settings}, config.variant)

    def learn(
        self, configs: Sequence[TrainConfig], place: Place, settings: Settings, report: Report
    ) -> Iterator[Score]:
        for config in configs:
            started = time.perf_counter()
            data = load_task(config)
            tuning = FineTuningRun.start(
                self.config_of(config, settings),
                data,
                place.loaded,
                tokens_per_batch=_TOKENS_AT_ONCE,
                adapt=self.adapt,
            )
            learn(tuning, EvaluationReport(report))
            assert tuning.best is not None
            assert data.test is not None
            yield Score(
                task=_name(config),
                method=self.name,
                settings=settings,
                seed=config.seed,
                dtype=place.dtype,
                rows=len(data.train),
                chosen_by=config.metric,
                validation=tuning.best.metrics,
                test=tuning.measure(place.loaded, data.test).metrics,
                seconds=time.perf_counter() - started,
            )


@dataclass(slots=True)
class EvaluationReport:
    """Reports every evaluation of the first run."""

    report: Report
    seen: int = 0

    def __call__(self, active: Sequence[BaseRun]) -> None:
        first = active[0]
        if len(first.history) > self.seen:
            self.seen = len(first.history)
            last = first.history[-1]
            merit = last.metrics[first.config.metric]
            self.report(f"{first.config.run_name}, step {last.step}: {merit:.4f}")


def _name(config: TrainConfig) -> str:
    """Return the name of a task, which is that of its folder."""
    assert isinstance(config.train, Path), "bench trains on files"
    return config.train.parent.name


def _with_peft(model: Any) -> nn.Module:
    """Train a prefix of our default length and a head, with PEFT's defaults."""
    peft = PrefixTuningConfig(task_type=TaskType.SEQ_CLS, num_virtual_tokens=DEFAULT_LENGTH)
    adapted: nn.Module = get_peft_model(model, peft)
    return adapted


_METHODS: Final[Sequence[Method]] = (
    Ours("prefix"),
    Ours("vectors"),
    Ours("few_shot"),
    PaddedLoop(
        "fine-tuning",
        [
            *({"learning_rate": rate} for rate in (5e-5, 1.5e-4, 3e-4)),
            # 4 epochs are too few for many labels, such as the 77 of Banking77.
            *({"learning_rate": rate, "epochs": 12} for rate in (1.5e-4, 3e-4)),
        ],
        weight_decay=0.01,
    ),
    PaddedLoop(
        "PEFT",
        [{"learning_rate": rate} for rate in (1e-2, 3e-2, 1e-1)],
        weight_decay=0.0,
        adapt=_with_peft,
    ),
)
METHODS: Final[Mapping[str, Method]] = {one.name: one for one in _METHODS}


def distinct_settings(grid: Sequence[Settings], rows: int | None) -> list[Settings]:
    """Leave out settings with more epochs that would still take the minimum number of steps."""
    if rows is None:
        return list(grid)
    steps_per_epoch = math.ceil(rows / _BATCH)
    return [one for one in grid if one.get("epochs", math.inf) * steps_per_epoch > _MIN_STEPS]
