"""MultitaskPlan: which tasks may learn one prefix together, and for how long."""

from collections.abc import Sequence
from typing import Final

from pydantic import Field

from prefixes.values import Value
from training.settings.config import TrainConfig

_ALIKE: Final = ("method", "prefix_length", "offset", "projection_size", "start_from")


class MultitaskPlan(Value):
    """How long all tasks of a plan learn one prefix, before each goes on alone."""

    steps: int = Field(default=400, ge=1, description="of the optimizer, all tasks in each")

    def problems(self, runs: Sequence[TrainConfig]) -> list[str]:
        """Say why these runs cannot share a prefix; empty when they can."""
        problems = []
        tasks = [run.task for run in runs]
        if len(tasks) < 2:
            problems.append("[multitask] needs two tasks or more")
        if len(set(tasks)) < len(tasks):
            problems.append(
                "[multitask] trains one run of each task: leave out [grid], and search with "
                "start_from, given the shared prefix, in a plan of its own"
            )
        for name in _ALIKE:
            values = dict.fromkeys(getattr(run, name) for run in runs)
            if len(values) > 1:
                label = "position_offset" if name == "offset" else name
                found = ", ".join(map(str, values))
                problems.append(f"tasks that share a prefix must have one {label}, not {found}")
        return problems

    def together(self, config: TrainConfig) -> TrainConfig:
        """Give the settings by which a task takes part in the first phase: measured at its end."""
        return config.model_copy(
            update={
                "variant": "shared",
                "min_steps": self.steps,
                "max_steps": self.steps,
                "evaluate_every": self.steps,
                "patience": None,
            }
        )
