"""SweepPlan: what a sweep tries, how it chooses what to try next, and what it gives up early."""

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
"""Settings without which the trials of a task could not be held against each other."""

_MAX_CORNERS: Final = 1000
_TRIALS: Final = 16
MAX_TRIALS: Final = 10_000
_LOG_FROM: Final = 10
"""A range of the command line whose ends are so many times apart is searched by magnitude."""


class Range(Value):
    """Numbers from `low` to `high`: whole ones where both are, by magnitude with `log`."""

    low: Number
    high: Number
    log: bool = False
    step: Number | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _has_values(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low must be below high: {self.low} and {self.high} were given")
        if self.log and self.low <= 0:
            raise ValueError(f"log needs a low above 0: {self.low} was given")
        if self.log and self.step is not None:
            raise ValueError("log and step do not go together: give one of them")
        if self.is_whole and isinstance(self.step, float):
            raise ValueError(f"whole numbers need a whole step: {self.step} was given")
        low, high, step = (Decimal(str(x or 0)) for x in (self.low, self.high, self.step))
        if step and (high - low) % step:
            raise ValueError(f"no number of steps of {step} leads from {low} to {high}")
        return self

    @property
    def is_whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def probes(self) -> tuple[Number, ...]:
        """Both ends, and something between them that shows whether fractions will do."""
        between = () if self.is_whole else (self.low + 0.37 * (self.high - self.low),)
        return (self.low, *between, self.high)


Choices = Annotated[tuple[Scalar, ...], Field(min_length=1)]


class SweepPlan(Value):
    """A search for the best settings of each task of a plan.

    `trials` are tried for each task, `together` of them at a time over all tasks, in the same
    batches. What a trial has given up or finished makes room for the next one.
    """

    space: dict[str, Range | Choices] = Field(
        min_length=1, description="by field: a range {low, high, log, step}, or a list of values"
    )
    trials: int | None = Field(
        default=None, ge=1, le=MAX_TRIALS, description="of each task: 16, or the whole grid"
    )
    together: int = Field(default=8, ge=1, description="trials that learn in the same batches")
    sampler: SamplerName = Field(default="tpe", description="how Optuna chooses what to try")
    pruner: PrunerName = Field(default="median", description="how it gives up on a trial")
    seed: int = Field(default=0, ge=0, le=2**32 - 1, description="of what is tried")

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
            raise ValueError(f"a grid needs lists of values, not the range of {', '.join(ranges)}")
        if self.trials is not None:
            raise ValueError("a grid tries every combination: leave out trials")
        if self.num_trials > MAX_TRIALS:
            raise ValueError(f"a grid of {self.num_trials} is too large: at most {MAX_TRIALS}")
        return self

    @model_validator(mode="after")
    def _leaves_the_task_alone(self) -> Self:
        fixed = sorted(_NEVER & self.space.keys())
        if fixed:
            raise ValueError(f"a sweep cannot change {', '.join(fixed)}: it compares by them")
        return self

    @property
    def num_trials(self) -> int:
        """Count the trials of each task."""
        if self.sampler != "grid":
            return self.trials or _TRIALS
        return math.prod(len(entry) for entry in self.space.values() if isinstance(entry, tuple))

    def points(self) -> list[dict[str, Any]]:
        """List every combination of the values of a grid."""
        values = [entry for entry in self.space.values() if not isinstance(entry, Range)]
        return [dict(zip(self.space, point, strict=True)) for point in itertools.product(*values)]

    def corners(self) -> Iterator[dict[str, Any]]:
        """List the outermost settings, and each choice: what they allow, all others will do."""
        values = [
            entry.probes if isinstance(entry, Range) else entry for entry in self.space.values()
        ]
        for point in itertools.islice(itertools.product(*values), _MAX_CORNERS):
            yield dict(zip(self.space, point, strict=True))


def with_settings(base: TrainConfig, settings: Mapping[str, Any], variant: str) -> TrainConfig:
    """Give a run other settings, and a name that tells it apart.

    Raises:
        ValidationError: pydantic's, for settings that cannot be.
    """
    given = base.model_dump(exclude_unset=True)
    return TrainConfig.model_validate({**given, **settings, "variant": variant})


def parse_space(text: str) -> tuple[str, Any]:
    """Read `name=LOW..HIGH` or `name=A,B,C` of a command line.

    Raises:
        ValueError: when the text is neither.
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
