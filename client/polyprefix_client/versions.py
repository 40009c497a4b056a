"""Prefixes: their versions, aliases, canaries, rules and readers."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from polyprefix_client.errors import Finding


@dataclass(frozen=True, slots=True)
class PrefixSummary:
    """A task with the numbers of its versions and the targets of its aliases."""

    tenant: str
    task: str
    versions: tuple[int, ...]
    aliases: dict[str, int]

    @property
    def name(self) -> str:
        """The task, `tenant/task`."""
        return f"{self.tenant}/{self.task}"


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a task. `digest` is the SHA-256 of its file."""

    ref: str
    tenant: str
    task: str
    version: int
    digest: str
    size_bytes: int
    created_at: datetime
    created_by: str


@dataclass(frozen=True, slots=True)
class VersionDetail(Version):
    """A version with the description in its file."""

    task_type: str
    spec: dict[str, Any]
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True)
class PublishedVersion(Version):
    """The result of an upload. `is_new` is false if the task already had these bytes."""

    is_new: bool


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """The result of a dry run. `warnings` are allowed, but probably mistakes."""

    digest: str
    size_bytes: int
    task_type: str
    num_examples: int
    warnings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class AliasMove:
    """One entry of the history of an alias."""

    kind: str
    from_version: int | None
    to_version: int
    moved_at: datetime
    moved_by: str
    is_undone: bool
    percent: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class CanarySummary:
    """The canary of an alias: its version, and its share of the callers."""

    version: int
    percent: float


@dataclass(frozen=True, slots=True)
class Alias:
    """An alias with its moves, the oldest first."""

    name: str
    version: int
    canary: CanarySummary | None
    history: tuple[AliasMove, ...]


@dataclass(frozen=True, slots=True)
class Prefix:
    """A task with its versions, in ascending order, and its aliases."""

    tenant: str
    task: str
    versions: tuple[Version, ...]
    aliases: tuple[Alias, ...]


@dataclass(frozen=True, slots=True)
class AliasTarget:
    """The version that an alias points to."""

    ref: str
    version: int
    digest: str


@dataclass(frozen=True, slots=True)
class Readers:
    """The readers of a prefix in addition to its owner."""

    is_public: bool
    tenants: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeletedPrefix:
    """A deleted task, and the time until which it can be restored."""

    task: str
    deleted_at: datetime
    removed_at: datetime


@dataclass(frozen=True, slots=True)
class DeletedVersion(DeletedPrefix):
    """A deleted version of a task."""

    version: int
    digest: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class DeletedPrefixes:
    """Deleted tasks and versions that can be restored."""

    prefixes: tuple[DeletedPrefix, ...]
    versions: tuple[DeletedVersion, ...]


@dataclass(frozen=True, slots=True)
class Retention:
    """Which versions of a task are kept. None: no version is kept for this reason."""

    keep_versions: int | None
    keep_days: float | None


@dataclass(frozen=True, slots=True)
class Canary:
    """A second version that answers a share of an alias's callers. `etag` identifies its state."""

    version: int
    percent: float
    shadow_percent: float
    max_error_percent: float | None
    max_disagreement_percent: float | None
    min_samples: int
    started_at: datetime
    started_by: str
    etag: str = ""


@dataclass(frozen=True, slots=True)
class VersionReport:
    """The counts of one of two versions."""

    answered: int
    failed: int
    mean_ms: float | None
    shadow_runs: int
    shadow_mean_ms: float | None


@dataclass(frozen=True, slots=True)
class LabelPair:
    """How often the two versions gave these labels."""

    stable: str
    canary: str
    count: int


@dataclass(frozen=True, slots=True)
class CanaryReport:
    """A comparison of a canary with the version that the alias points to."""

    stable: VersionReport
    canary: VersionReport
    error_percent: float
    compared: int
    agreed: int
    disagreement_percent: float
    dropped: int
    labels: tuple[LabelPair, ...]
    other_pairs: int


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of an alias. Those that are None are those of the file."""

    version: int
    thresholds: dict[str, float] | None
    min_score: float | None
    abstain: bool | None
    long_text: Literal["truncate", "windows"] | None = None
    stride: int | None = None
    merge: Literal["mean", "max", "first"] | None = None
    etag: str = ""


@dataclass(frozen=True, slots=True)
class Drift:
    """The drift of one statistic: a population stability index, and how much of it is chance."""

    statistic: str
    index: float
    by_chance: float
    has_drifted: bool


@dataclass(frozen=True, slots=True)
class Histograms:
    """Counts of texts by label, score, length and share of unknown tokens."""

    texts: int
    labels: tuple[int, ...]
    scores: tuple[int, ...]
    lengths: tuple[int, ...]
    unknown: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DriftReport:
    """The texts of a version in the last hours, compared with its validation rows.

    `bound` is the index above which a statistic counts as drifted. `labels` names the bins of
    labels. `reference` is None if the file has no statistics, and `found` without texts.
    """

    hours: int
    bound: float
    drifts: tuple[Drift, ...]
    labels: tuple[str, ...]
    reference: Histograms | None
    found: Histograms | None
