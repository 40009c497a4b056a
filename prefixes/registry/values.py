"""The values that the registry returns: tenants, versions, aliases and their history."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from prefixes.names import PrefixRef
from prefixes.spec import TaskType

MoveKind = Literal["publish", "promote", "rollback"]


@dataclass(frozen=True, slots=True)
class Tenant:
    """An owner of prefixes. Anyone may read those of a public tenant."""

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
class PublishedVersion:
    """The result of publishing; `is_new` is false if the task already had these bytes."""

    version: PrefixVersion
    is_new: bool


@dataclass(frozen=True, slots=True)
class AliasMove:
    """One move of an alias; `is_undone` after a rollback has undone it."""

    kind: MoveKind
    from_version: int | None
    to_version: int
    moved_at: datetime
    moved_by: str
    is_undone: bool


@dataclass(frozen=True, slots=True)
class Alias:
    """A name that points to a version, with its moves, oldest first."""

    name: str
    version: int
    moves: tuple[AliasMove, ...]


@dataclass(frozen=True, slots=True)
class ListedVersion:
    """The facts about a version that lists contain."""

    created_at: datetime
    task_type: TaskType


@dataclass(frozen=True, slots=True)
class PrefixSummary:
    """A task in a list: its versions by ascending number, and the targets of its aliases."""

    tenant: str
    task: str
    versions: Mapping[int, ListedVersion]
    aliases: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class PrefixEntry:
    """All that the registry knows about one task; versions and aliases are sorted."""

    tenant: str
    task: str
    versions: tuple[PrefixVersion, ...]
    aliases: tuple[Alias, ...]


@dataclass(frozen=True, slots=True)
class ApiKey:
    """The stored facts about an API key: everything but its secret."""

    id: str
    tenant: str
    label: str
    created_at: datetime
    revoked_at: datetime | None
