"""The values that the registry returns: tenants, versions, keys and lists of prefixes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from prefixes.limits import NO_LIMITS, Limits
from prefixes.names import PrefixRef
from prefixes.registry.alias_values import Alias
from prefixes.spec import TaskType

Role = Literal["infer", "upload", "admin", "operator"]

ROLES: Final[tuple[Role, ...]] = ("infer", "upload", "admin", "operator")
"""Each role includes the ones before it. `operator` is not bound to a tenant."""


@dataclass(frozen=True, slots=True)
class Actor:
    """The author of a change. `name` is for people. A request also has a key and an id."""

    name: str
    key_id: str | None = None
    request_id: str | None = None


COMMAND_LINE: Final = Actor("command line")
"""A person or program with access to the store's files."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """An owner of prefixes. Anyone may read those of a public tenant.

    A deleted tenant is removed once its grace period has passed.
    """

    name: str
    is_public: bool
    created_at: datetime
    suspended_at: datetime | None = None
    deleted_at: datetime | None = None

    @property
    def state(self) -> Literal["active", "suspended", "deleted"]:
        if self.deleted_at is not None:
            return "deleted"
        return "active" if self.suspended_at is None else "suspended"


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
class RetentionRule:
    """The versions of a task that are kept: the newest ones, and those of the last days.

    None means without this condition. Without both, all versions are kept.
    """

    keep_versions: int | None = None
    keep_days: float | None = None


@dataclass(frozen=True, slots=True)
class DeletedPrefix:
    """A deleted task, which can be restored for some time."""

    tenant: str
    task: str
    deleted_at: datetime


@dataclass(frozen=True, slots=True)
class DeletedVersion:
    """A deleted version of an existing task, which can be restored for some time."""

    tenant: str
    task: str
    number: int
    digest: str
    size_bytes: int
    deleted_at: datetime


@dataclass(frozen=True, slots=True)
class Readers:
    """The readers of a task in addition to its owner: everyone, or these tenants."""

    is_public: bool
    tenants: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ApiKey:
    """The stored facts about an API key: everything but its secret.

    An operator's key has no tenant. `replaced_by` is the id of the key that a rotation made.
    """

    id: str
    tenant: str | None
    role: Role
    label: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    replaced_by: str | None

    def state(self, moment: datetime) -> Literal["valid", "expired", "revoked"]:
        """Return whether the key is valid at a moment."""
        if self.revoked_at is not None:
            return "revoked"
        is_expired = self.expires_at is not None and self.expires_at <= moment
        return "expired" if is_expired else "valid"


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new key, which cannot be read again, and what is stored about it."""

    key: str = field(repr=False)
    facts: ApiKey


@dataclass(frozen=True, slots=True)
class Identity:
    """The rights that a valid key proves. An operator's key has no tenant.

    `expires_at` is in seconds since the epoch, infinite for never. `limits` are those of the
    tenant, `key_limits` those of the key alone; operators have none. `recorded_percent` is the
    share of the tenant's requests whose answers are recorded.
    """

    key_id: str
    tenant: str | None
    role: Role
    is_suspended: bool
    expires_at: float
    limits: Limits = NO_LIMITS
    key_limits: Limits = NO_LIMITS
    recorded_percent: float = 0.0


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One change. `tenant` owns the object; `before` and `after` are JSON."""

    id: int
    at: datetime
    actor: str
    key_id: str | None
    request_id: str | None
    tenant: str | None
    action: str
    object: str
    before: str | None
    after: str | None
