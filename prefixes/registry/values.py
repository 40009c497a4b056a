"""What the registry hands out: tenants, versions, aliases and their history."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from prefixes.names import PrefixRef
from prefixes.spec import TaskType

MoveKind = Literal["publish", "promote", "rollback"]


@dataclass(frozen=True, slots=True)
class Tenant:
    """An owner of prefixes. Everybody may read those of a public tenant."""

    name: str
    is_public: bool


@dataclass(frozen=True, slots=True)
class PrefixVersion:
    """One immutable version of a task. Its description is read with `PrefixRegistry.spec`."""

    tenant: str
    task: str
    number: int
    digest: str
    size_bytes: int
    created_at: datetime
    created_by: str
    task_type: TaskType

    @property
    def ref(self) -> PrefixRef:
        return PrefixRef(self.tenant, self.task, version=self.number)


@dataclass(frozen=True, slots=True)
class Published:
    """The answer to an upload; `is_new` is false when the task already had these very bytes."""

    version: PrefixVersion
    is_new: bool


@dataclass(frozen=True, slots=True)
class AliasMove:
    """One step in the life of an alias; `is_undone` once a rollback has taken it back."""

    kind: MoveKind
    from_version: int | None
    to_version: int
    moved_at: datetime
    moved_by: str
    is_undone: bool


@dataclass(frozen=True, slots=True)
class Alias:
    """A name that points to a version, with its moves, the oldest first."""

    name: str
    version: int
    moves: tuple[AliasMove, ...]


@dataclass(frozen=True, slots=True)
class ListedVersion:
    """What a list says of a version."""

    created_at: datetime
    task_type: TaskType


@dataclass(frozen=True, slots=True)
class PrefixSummary:
    """A task in a list: its versions by number, rising, and its aliases' targets."""

    tenant: str
    task: str
    versions: Mapping[int, ListedVersion]
    aliases: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class PrefixEntry:
    """All that the registry knows of one task; versions and aliases in rising order."""

    tenant: str
    task: str
    versions: tuple[PrefixVersion, ...]
    aliases: tuple[Alias, ...]


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is kept of an API key: everything but its secret."""

    id: str
    tenant: str
    label: str
    created_at: datetime
    revoked_at: datetime | None
