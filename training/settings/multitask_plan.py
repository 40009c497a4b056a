"""MultitaskPlan: which tasks can train one prefix together, and for how many steps."""

from collections.abc import Sequence
from typing import Final

from pydantic import Field

from prefixes.values import Value
from training.settings.config import TrainConfig

_ALIKE: Final = ("method", "prefix_length", "offset", "rank", "projection_size", "start_from")


class MultitaskPlan(Value):
    """A first phase in which all tasks of a plan train one prefix."""

    steps: int = Field(
        default=400,
        ge=1,
        description="Optimizer steps of the shared phase; each step has rows of all tasks.",
    )

    def problems(self, runs: Sequence[TrainConfig]) -> list[str]:
        """List the reasons why these runs cannot share a prefix."""
        problems = []
        tasks = [run.task for run in runs]
        if len(tasks) < 2:
            problems.append("[multitask] needs at least two tasks")
        if len(set(tasks)) < len(tasks):
            problems.append(
                "[multitask] trains one run of each task: remove [grid]. To search settings, use "
                "another plan whose start_from is the shared prefix"
            )
        if any(run.teacher is not None for run in runs):
            problems.append("[multitask] does not support a teacher: remove teacher")
        return problems + _differences(runs)

    def shared_phase(self, config: TrainConfig) -> TrainConfig:
        """Return the settings of a task in the shared phase: it is evaluated once, at the end."""
        return config.model_copy(
            update={
                "variant": "shared",
                "min_steps": self.steps,
                "max_steps": self.steps,
                "evaluate_every": self.steps,
                "patience": None,
            }
        )


def _differences(runs: Sequence[TrainConfig]) -> list[str]:
    """List the settings that must be the same but differ. Other methods have other settings."""
    problems = []
    for name in _ALIKE:
        values = dict.fromkeys(getattr(run, name) for run in runs)
        if len(values) > 1:
            label = "position_offset" if name == "offset" else name
            found = ", ".join(map(str, values))
            problems.append(
                f"tasks that share a prefix must have the same {label}: found {found}. Set it for "
                "all of them"
            )
            if name == "method":
                break
    return problems
