"""Multi-task prefixes: all tasks of a plan first learn one prefix together, with a head each.

This is the MPT of P-tuning v2. In the first phase the runs steer by the very same parameters, so
that the gradients of their losses add up in them; then each goes on with a copy of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from pydantic import JsonValue
from torch import Tensor

from prefixes import Prefix, PrefixSpec, Provenance, digest_of
from prefixes.spec import HeadSpec
from training.errors import TrainingError
from training.learning.run import Run
from training.results.finish import tool_name
from training.settings.plan import TrainPlan


@dataclass(frozen=True, slots=True, eq=False)
class SharedPrefix:
    """The result of the first phase: its file with its digest, and each task's learner.

    `file` and `learners` are empty where a training goes on in its second phase: the one has been
    written, the others copied.
    """

    sha256: str
    steps: int
    tasks: tuple[str, ...]
    file: bytes = b""
    learners: Sequence[Mapping[str, Tensor]] = ()

    @classmethod
    def of(cls, runs: Sequence[Run]) -> Self:
        """Make a file of what all runs have learned together, a prefix without a head.

        Raises:
            TrainingError: when they have learned nothing.
        """
        failed = [f"{run.config.run_name} {run.ended}" for run in runs if run.best is None]
        if failed:
            raise TrainingError(f"No prefix could be shared: {'; '.join(failed)}")
        owner = runs[0]
        steps, tasks = owner.step, tuple(run.config.task for run in runs)
        data = _headless(owner, steps, tasks).to_bytes()
        return cls(digest_of(data), steps, tasks, data, [run.kept.state_dict() for run in runs])

    @classmethod
    def again(cls, plan: TrainPlan, sha256: str | None) -> Self | None:
        """Tell what a training in its second phase has been through; None in its first."""
        if plan.multitask is None or sha256 is None:
            return None
        return cls(sha256, plan.multitask.steps, tuple(run.task for run in plan.runs))

    @property
    def facts(self) -> dict[str, JsonValue]:
        """Give what belongs to the provenance of a prefix that went on from this one."""
        return {"sha256": self.sha256, "steps": self.steps, "tasks": list(self.tasks)}


def share(runs: Sequence[Run]) -> None:
    """Let runs that were just started steer by the parameters of the first of them."""
    for run in runs[1:]:
        run.share_prefix(runs[0])


def _headless(owner: Run, steps: int, tasks: tuple[str, ...]) -> Prefix:
    """Describe shared keys and values as an embedding: the type of task that has no head."""
    mine = owner.spec
    recipe: dict[str, Any] = {"multitask": {"steps": steps, "tasks": list(tasks)}}
    spec = PrefixSpec(
        task_type="embedding",
        method=mine.method,
        prefix_length=mine.prefix_length,
        position_offset=mine.position_offset,
        max_length=mine.max_length,
        head=HeadSpec(pooling="mean"),
        token_types=mine.token_types,
        special_tokens=mine.special_tokens,
        backbone=mine.backbone,
        description=f"Shared by {', '.join(tasks)}, to begin others as"[:2000],
        provenance=Provenance(created_at=datetime.now(UTC), tool=tool_name(), recipe=recipe),
    )
    tensors = owner.kept.fold().tensors
    return Prefix(spec, {name: x for name, x in tensors.items() if not name.startswith("head.")})
