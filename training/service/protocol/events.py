"""Event: what a worker reports while it trains, one line of a file each."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from training.service.protocol.messages import Figure


class Evaluation(BaseModel):
    model_config = ConfigDict(extra="forbid")

    step: int
    epoch: float
    train_loss: Figure
    loss: Figure = Field(description="Of the validation rows; lower is better.")
    metrics: dict[str, Figure]


Phase = Literal["teacher", "answers", "prefix"]
"""A training fine-tunes its teacher, lets it answer rows, or trains the prefix."""


class Progress(BaseModel):
    model_config = ConfigDict(extra="forbid")

    phase: Phase = Field(
        default="prefix",
        description="`teacher`: a teacher is fine-tuned; `answers`: it answers rows, which are "
        "counted as steps; `prefix`: the prefix is trained.",
    )
    step: int
    total_steps: int
    loss: Figure = Field(description="Of the last step's rows.")
    metric: str = Field(description="Selects the best evaluation; higher is better.")
    latest: Evaluation | None
    best: Evaluation | None
    teacher: Figure = Field(
        default=None, description="The metric of the teacher on the validation rows."
    )


@dataclass(frozen=True, slots=True)
class Event:
    """One line.

    The members of `progress` and `evaluation` are those of `Progress`. `data_summary` and
    `warnings` have one member, a list of sentences, of the same name.
    """

    kind: str
    members: Mapping[str, Any]

    @classmethod
    def of_progress(cls, progress: Progress, *, is_evaluated: bool) -> Self:
        return cls("evaluation" if is_evaluated else "progress", progress.model_dump())

    @classmethod
    def of_sentences(
        cls, kind: Literal["data_summary", "warnings"], sentences: Sequence[str]
    ) -> Self:
        return cls(kind, {kind: list(sentences)})

    @classmethod
    def parse(cls, line: bytes) -> Self | None:
        """Read a line; None when a kill or a full disk has cut it short."""
        try:
            members = json.loads(line)
        except ValueError:
            return None
        if not isinstance(members, dict) or "event" not in members:
            return None
        return cls(members.pop("event"), members)

    def lines(self) -> bytes:
        """Write the line, after a line break that ends an earlier line which was cut short."""
        return f"\n{json.dumps({'event': self.kind, **self.members}, allow_nan=False)}\n".encode()

    @property
    def is_progress(self) -> bool:
        return "step" in self.members
