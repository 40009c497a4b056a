"""Multi-task prefixes: all tasks of a plan first train one prefix together, each with a head.

This is the MPT of P-tuning v2. In the first phase, all runs use the same prefix parameters, which
sum the gradients of all losses. Then each run continues with a copy.
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

    `file` and `learners` are empty if a training resumes in its second phase: the file has been
    written, and the learners have been copied.
    """

    sha256: str
    steps: int
    tasks: tuple[str, ...]
    file: bytes = b""
    learners: Sequence[Mapping[str, Tensor]] = ()

    @classmethod
    def of(cls, runs: Sequence[Run]) -> Self:
        """Make the file of the shared prefix, which has no head.

        Raises:
            TrainingError: if a run has no evaluation.
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
        """Return the shared prefix of a training in its second phase; None in its first."""
        if plan.multitask is None or sha256 is None:
            return None
        return cls(sha256, plan.multitask.steps, tuple(run.task for run in plan.runs))

    @property
    def facts(self) -> dict[str, JsonValue]:
        """Return the facts for the provenance of a prefix that started from this one."""
        return {"sha256": self.sha256, "steps": self.steps, "tasks": list(self.tasks)}


def share(runs: Sequence[Run]) -> None:
    """Let new runs share the prefix parameters of the first run."""
    for run in runs[1:]:
        run.share_prefix(runs[0])


def _headless(owner: Run, steps: int, tasks: tuple[str, ...]) -> Prefix:
    """Describe shared keys and values as an embedding, the only task type without a head."""
    mine = owner.spec
    recipe: dict[str, Any] = {"multitask": {"steps": steps, "tasks": list(tasks)}}
    spec = PrefixSpec(
        task_type="embedding",
        method=mine.method,
        prefix_length=mine.prefix_length,
        position_offset=mine.position_offset,
        rank=mine.rank,
        max_length=mine.max_length,
        head=HeadSpec(pooling="mean"),
        token_types=mine.token_types,
        special_tokens=mine.special_tokens,
        backbone=mine.backbone,
        description=f"Shared by {', '.join(tasks)}, as a start for other tasks"[:2000],
        provenance=Provenance(created_at=datetime.now(UTC), tool=tool_name(), recipe=recipe),
    )
    tensors = owner.kept.fold().tensors
    return Prefix(spec, {name: x for name, x in tensors.items() if not name.startswith("head.")})
