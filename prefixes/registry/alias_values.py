"""The values of aliases: where they point, their history, their canaries and their rules."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from prefixes.spec import AliasRuleSet

MoveKind = Literal[
    "publish",
    "promote",
    "rollback",
    "canary",
    "canary_cancel",
    "canary_rollback",
    "rules",
    "rules_delete",
]
"""The first three move an alias. The others change its canary or its rules, and do not move it."""


@dataclass(frozen=True, slots=True)
class AliasMove:
    """One move of an alias, or a change of its canary; `is_undone` after a rollback has undone it.

    `percent` is the share of callers that a canary got. `reason` says why the server ended one.
    """

    kind: MoveKind
    from_version: int | None
    to_version: int
    moved_at: datetime
    moved_by: str
    is_undone: bool
    percent: float | None = None
    reason: str | None = None

    @property
    def is_move(self) -> bool:
        """Whether the alias itself moved."""
        return self.kind in {"publish", "promote", "rollback"}


@dataclass(frozen=True, slots=True)
class CanaryPlan:
    """The choices for a canary.

    `percent` is its share of the callers. `shadow_percent` is the share of inputs that the other
    version runs, too, to compare the answers. The canary is rolled back when it fails on more than
    `max_error_percent` of its inputs, or gives other answers in more than
    `max_disagreement_percent` of the comparisons, among at least `min_samples` of these.
    """

    version: int
    percent: float
    shadow_percent: float = 0.0
    max_error_percent: float | None = None
    max_disagreement_percent: float | None = None
    min_samples: int = 100


@dataclass(frozen=True, slots=True)
class Canary:
    """A second version of an alias, which answers a share of its callers.

    `revision` differs after every change. It grows, also from one canary to the next.
    """

    plan: CanaryPlan
    revision: int
    started_at: datetime
    started_by: str


@dataclass(frozen=True, slots=True)
class AliasRuleState:
    """The rules that an alias has for the version it points to.

    `revision` differs after every change, and grows.
    """

    version: int
    rules: AliasRuleSet
    revision: int


@dataclass(frozen=True, slots=True)
class Alias:
    """A name that points to a version, with its moves, oldest first, and its canary."""

    name: str
    version: int
    moves: tuple[AliasMove, ...]
    canary: Canary | None = None
