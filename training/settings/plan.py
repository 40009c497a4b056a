"""TrainPlan: the runs of one training, from flags or a TOML file."""

import itertools
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from prefixes.names import nearest
from prefixes.values import Value
from training.errors import PlanRejected
from training.settings.config import TrainConfig
from training.settings.former_names import with_current_names
from training.settings.multitask_plan import MultitaskPlan
from training.settings.sweep_plan import SweepPlan, with_settings
from training.settings.train_settings import FULL_TEACHER
from training.sources import is_hub


class TrainPlan(Value):
    """All runs of one training. They share one loaded backbone."""

    runs: tuple[TrainConfig, ...]
    sweep: SweepPlan | None = Field(default=None, description="Searches settings for each run.")
    multitask: MultitaskPlan | None = Field(
        default=None, description="All runs first train one prefix together."
    )
    backbone: str = "minilm"
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "float32"
    linear_kernel: Literal["auto", "torch", "onednn"] = "auto"
    attention_kernel: Literal["auto", "torch", "compiled", "compiled-64", "compiled-128"] = "auto"
    tokens_per_batch: int = Field(
        default=8192,
        ge=1,
        description="Maximum number of tokens of one forward and backward pass. Bounds the memory.",
    )

    @model_validator(mode="before")
    @classmethod
    def _is_not_quantized(cls, data: Any) -> Any:
        if isinstance(data, dict) and "quantize" in data:
            raise ValueError(
                "quantize does not apply to training, because int8 has no gradients: remove it, "
                "and use it with evaluate, predict or serve"
            )
        return data

    @model_validator(mode="after")
    def _has_distinct_runs(self) -> Self:
        if not self.runs:
            raise ValueError("the plan has no task: add a [[task]] table")
        names = [run.run_name for run in self.runs]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"run names must be unique: found {', '.join(twice)} more than once")
        return self

    @model_validator(mode="after")
    def _learns_whole_models_alone(self) -> Self:
        if not any(run.method == "full" for run in self.runs):
            return self
        if not self.is_full:
            raise ValueError("method 'full' must be set for all runs of a plan, or for none")
        others = {
            "[sweep]": self.sweep is not None,
            "[multitask]": self.multitask is not None,
        }
        given = [name for name, is_given in others.items() if is_given]
        if given:
            raise ValueError(f"method 'full' does not support {' and '.join(given)}: remove it")
        return self

    @model_validator(mode="after")
    def _computes_heads_alone(self) -> Self:
        if self.is_few_shot or not any(run.method == "few_shot" for run in self.runs):
            return self
        raise ValueError(
            "method 'few_shot' must be set for all runs of a plan, or for none, and without "
            "[sweep] and [multitask]"
        )

    @property
    def is_few_shot(self) -> bool:
        """Whether the plan computes heads without training."""
        is_plain = self.sweep is None and self.multitask is None
        return is_plain and all(run.method == "few_shot" for run in self.runs)

    @property
    def is_full(self) -> bool:
        """Whether the plan fine-tunes whole models."""
        return all(run.method == "full" for run in self.runs)

    @model_validator(mode="after")
    def _can_share(self) -> Self:
        if self.multitask is None:
            return self
        problems = self.multitask.problems(self.runs)
        if self.sweep is not None:
            problems.append("[multitask] and [sweep] exclude each other: remove one of them")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @model_validator(mode="after")
    def _can_be_swept(self) -> Self:
        corners = [] if self.sweep is None else list(self.sweep.corners())
        for run, settings in itertools.product(self.runs, corners):
            try:
                with_settings(run, settings, "trial")
            except ValidationError as error:
                first = error.errors(include_url=False, include_context=False)[0]
                field = "".join(f"{part}: " for part in first["loc"])
                raise ValueError(
                    f"the sweep would train {run.run_name} with {settings}, which is invalid: "
                    f"{field}{first['msg']}"
                ) from error
        return self


_MODELS: Final[dict[str | int, type[Value]]] = {
    "": TrainPlan,
    "runs": TrainConfig,
    "sweep": SweepPlan,
    "multitask": MultitaskPlan,
}
"""The model of each part of a plan; the empty name is the plan itself."""


def load_plan(path: Path, *, plan: Mapping[str, Any], run: Mapping[str, Any]) -> TrainPlan:
    """Read a plan from a TOML file. `plan` and `run` override its settings.

    `[[task]]` tables describe the tasks, and `[defaults]` their common settings. `[grid]` lists
    values: every task is trained once for each combination. `[sweep]` searches instead. Data files
    are relative to the plan.

    Raises:
        PlanRejected: naming each setting that is missing, unknown or out of range.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PlanRejected(f"Cannot read the plan {path}: {error}") from error
    if "runs" in document:
        raise PlanRejected(f"Invalid key 'runs' in the plan {path}: use [[task]] tables")
    tasks = document.pop("task", [])
    defaults, grid = document.pop("defaults", {}), document.pop("grid", {})
    if not isinstance(tasks, list) or not all(
        isinstance(x, dict) for x in (*tasks, defaults, grid)
    ):
        raise PlanRejected(f"Invalid plan {path}: [[task]], [defaults] and [grid] must be tables")
    if grid and "sweep" in document:
        raise PlanRejected(f"The plan {path} has [grid] and [sweep]: remove one of them")
    shared = with_current_names(defaults)
    runs = [
        {**_relative_to(path.parent, {**shared, **with_current_names(task), **point}), **run}
        for task in tasks
        for point in _points(grid)
    ]
    return check_plan({**document, **plan, "runs": runs}, origin=str(path))


def check_plan(fields: Mapping[str, Any], *, origin: str) -> TrainPlan:
    """Build a plan from plain values.

    Raises:
        PlanRejected: naming each setting that is missing, unknown or out of range.
    """
    try:
        return TrainPlan.model_validate(fields)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False)
        lines = [f"  {'.'.join(map(str, d['loc'])) or 'plan'}: {_sentence(d)}" for d in details]
        raise PlanRejected(f"Invalid plan from {origin}:\n" + "\n".join(lines)) from error


def _sentence(detail: ErrorDetails) -> str:
    """Describe one problem of a plan."""
    *within, name = detail["loc"] or ("",)
    model: type[Value] | None = _MODELS.get(within[0] if within else "")
    if detail["type"] == "extra_forbidden" and model is not None:
        return f"is not a setting{nearest(str(name), model.model_fields)}"
    return detail["msg"].removeprefix("Value error, ")


def _relative_to(folder: Path, fields: dict[str, Any]) -> dict[str, Any]:
    files = {
        key: str(folder / value)
        for key in ("train", "validation", "test", "feedback", "unlabeled")
        if isinstance(value := fields.get(key), str) and not is_hub(value)
    }
    start = fields.get("start_from")
    if isinstance(start, str) and not start.startswith(("http://", "https://")):
        files["start_from"] = str(folder / start)
    teacher = fields.get("teacher")
    if isinstance(teacher, str) and teacher != FULL_TEACHER:
        files["teacher"] = str(folder / teacher)
    return {**fields, **files}


def _points(grid: dict[str, Any]) -> list[dict[str, Any]]:
    """List the combinations of a grid, each with its variant name; one empty one without a grid."""
    if not all(isinstance(values, list) and values for values in grid.values()):
        raise PlanRejected("Every entry of [grid] must be a list of values")
    points = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    if not grid:
        return points
    return [
        {
            **with_current_names(point),
            "variant": ",".join(f"{key}={value}" for key, value in point.items()),
        }
        for point in points
    ]
