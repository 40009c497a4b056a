"""SweepPlan: the settings that a sweep searches, and how it samples and prunes trials."""

import itertools
import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    field_validator,
    model_validator,
)

from prefixes.values import Value
from training.settings.config import TrainConfig
from training.settings.former_names import with_current_names

SamplerName = Literal["random", "tpe", "grid"]
PrunerName = Literal["none", "median", "successive_halving"]

Real = Annotated[StrictFloat, Field(allow_inf_nan=False)]
Number = StrictInt | Real
Scalar = StrictBool | StrictInt | Real | StrictStr

_NEVER: Final = frozenset({"task", "variant", "task_type", "select_by", "start_from"})
"""Settings that must be equal for the trials of a task to be comparable."""

_ALONE: Final = ("few_shot", "full")
"""Methods that are not trained together with others, as the trials of a sweep are."""

_MAX_CORNERS: Final = 1000
_TRIALS: Final = 16
MAX_TRIALS: Final = 10_000
_LOG_FROM: Final = 10
"""A range of the command line is searched by magnitude if its ends differ by this factor."""


class Range(Value):
    """Numbers from `low` to `high`: integers if both ends are, by magnitude with `log`."""

    low: Number
    high: Number
    log: bool = False
    step: Number | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _has_values(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low must be below high: found {self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"log needs a low above 0: found {self.low}")
        if self.log and self.step is not None:
            raise ValueError("log and step exclude each other: remove one of them")
        if self.is_whole and isinstance(self.step, float):
            raise ValueError(f"a range of integers needs an integer step: found {self.step}")
        low, high, step = (Decimal(str(x or 0)) for x in (self.low, self.high, self.step))
        if step and (high - low) % step:
            raise ValueError(
                f"high must be low plus a multiple of step: found {low}, {high} and {step}"
            )
        return self

    @property
    def is_whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def probes(self) -> tuple[Number, ...]:
        """Both ends, and a fraction between them if the range allows fractions."""
        between = () if self.is_whole else (self.low + 0.37 * (self.high - self.low),)
        return (self.low, *between, self.high)


Choices = Annotated[tuple[Scalar, ...], Field(min_length=1)]


class SweepPlan(Value):
    """A search for the best settings of each task of a plan.

    Each task gets `trials` trials. `together` of them, over all tasks, run in the same batches. A
    trial that finishes or is pruned is replaced by the next one.
    """

    space: dict[str, Range | Choices] = Field(
        min_length=1, description="By setting: a range {low, high, log, step}, or a list of values."
    )
    trials: int | None = Field(
        default=None,
        ge=1,
        le=MAX_TRIALS,
        description="Trials of each task: 16 by default; of a grid, all combinations.",
    )
    together: int = Field(
        default=8, ge=1, description="Number of trials that run in the same batches."
    )
    sampler: SamplerName = Field(
        default="tpe", description="Optuna sampler: how the next trial is chosen."
    )
    pruner: PrunerName = Field(
        default="median", description="Optuna pruner: how a poor trial is stopped early."
    )
    seed: int = Field(default=0, ge=0, le=2**32 - 1, description="Seed of the sampler.")

    @field_validator("space", mode="before")
    @classmethod
    def _has_current_names(cls, space: Any) -> Any:
        return with_current_names(space) if isinstance(space, dict) else space

    @model_validator(mode="after")
    def _is_a_grid(self) -> Self:
        if self.sampler != "grid":
            return self
        ranges = [name for name, entry in self.space.items() if isinstance(entry, Range)]
        if ranges:
            raise ValueError(f"a grid needs lists of values: found a range for {', '.join(ranges)}")
        if self.trials is not None:
            raise ValueError("a grid runs every combination: remove trials")
        if self.num_trials > MAX_TRIALS:
            raise ValueError(
                f"the grid has {self.num_trials} combinations: expected at most {MAX_TRIALS}"
            )
        return self

    @model_validator(mode="after")
    def _leaves_the_task_alone(self) -> Self:
        fixed = sorted(_NEVER & self.space.keys())
        if fixed:
            raise ValueError(f"a sweep cannot change {', '.join(fixed)}: trials must agree in them")
        return self

    @model_validator(mode="after")
    def _trains_every_trial(self) -> Self:
        methods = self.space.get("method", ())
        if isinstance(methods, tuple) and (alone := [one for one in _ALONE if one in methods]):
            raise ValueError(f"a sweep cannot try method {alone[0]!r}: run it by itself")
        return self

    @property
    def num_trials(self) -> int:
        """Number of trials of each task."""
        if self.sampler != "grid":
            return self.trials or _TRIALS
        return math.prod(len(entry) for entry in self.space.values() if isinstance(entry, tuple))

    def points(self) -> list[dict[str, Any]]:
        """List every combination of the values of a grid."""
        values = [entry for entry in self.space.values() if not isinstance(entry, Range)]
        return [dict(zip(self.space, point, strict=True)) for point in itertools.product(*values)]

    def corners(self) -> Iterator[dict[str, Any]]:
        """List combinations of extreme values and of all choices: if these are valid, all are."""
        values = [
            entry.probes if isinstance(entry, Range) else entry for entry in self.space.values()
        ]
        for point in itertools.islice(itertools.product(*values), _MAX_CORNERS):
            yield dict(zip(self.space, point, strict=True))


def with_settings(base: TrainConfig, settings: Mapping[str, Any], variant: str) -> TrainConfig:
    """Return a configuration with other settings and another variant name.

    Raises:
        ValidationError: if the settings contradict each other.
    """
    given = base.model_dump(exclude_unset=True)
    return TrainConfig.model_validate({**given, **settings, "variant": variant})


def parse_space(text: str) -> tuple[str, Any]:
    """Parse `NAME=LOW..HIGH` or `NAME=A,B,C`.

    Raises:
        ValueError: if the text has neither form.
    """
    name, equals, values = text.partition("=")
    if not equals or not values:
        raise ValueError(f"--sweep {text!r}: expected NAME=LOW..HIGH or NAME=A,B,C")
    low, dots, high = values.partition("..")
    if not dots:
        return name, [_scalar(value.strip()) for value in values.split(",")]
    ends = _scalar(low), _scalar(high)
    if any(isinstance(end, str) for end in ends):
        raise ValueError(f"--sweep {text!r}: expected two numbers, as 1e-3..5e-2")
    first, last = map(float, ends)
    is_wide = first > 0 and last / first >= _LOG_FROM
    return name, {"low": ends[0], "high": ends[1], "log": is_wide}


def _scalar(text: str) -> int | float | str:
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text
