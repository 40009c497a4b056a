"""Values that callers manage: tenants, keys, limits, feedback, usage and the audit log."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

LimitValue = float | Literal["unlimited"] | None
"""A number, `unlimited`, or None for the default."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The key of a client. `tenant` is None for an operator."""

    tenant: str | None
    role: str
    key_id: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """The description of a server by itself."""

    name: str
    version: str
    backbone: str


@dataclass(frozen=True, slots=True)
class Model:
    """A name that calls accept as `model`."""

    id: str
    task_type: str
    owned_by: str = ""


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant: `active`, `suspended` or `deleted`."""

    name: str
    state: str
    is_public: bool
    created_at: datetime
    suspended_at: datetime | None
    deleted_at: datetime | None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key without its secret. `tenant` is None for the key of an operator."""

    id: str
    tenant: str | None
    role: str
    label: str
    state: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    replaced_by: str | None


@dataclass(frozen=True, slots=True)
class NewKey(ApiKey):
    """A new API key. Only the call that creates it returns `key`."""

    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Stored:
    """The amounts that a tenant stores."""

    bytes: int
    prefixes: int
    versions: int


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a tenant or a key.

    Attributes:
        limits: the limits that are set.
        applied: all that apply, defaults included. Empty for a key.
        etag: identifies this state.
    """

    limits: Mapping[str, Any]
    applied: Mapping[str, Any] = field(default_factory=dict)
    stored: Stored | None = None
    etag: str = ""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One change: who changed what."""

    id: int
    at: datetime
    actor: str
    key_id: str | None
    request_id: str | None
    tenant: str | None
    action: str
    object: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class UsageRow:
    """The usage of a task by a tenant within an hour, or of a key.

    Either `task` or `key_id` is None.
    """

    hour: datetime
    tenant: str | None
    task: str | None
    requests: int
    texts: int
    tokens: int
    device_seconds: float
    training_cpu_seconds: float
    key_id: str | None = None


@dataclass(frozen=True, slots=True)
class FeedbackSettings:
    """The settings of recording, and how much is stored."""

    is_enabled: bool
    retention_days: float
    sample_percent: float
    is_encrypted: bool
    num_answers: int
    num_with_feedback: int
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class FeedbackReceipt:
    """Stored feedback. `is_contradicted`: the version gave another answer."""

    request_id: str
    index: int
    model: str
    is_contradicted: bool


@dataclass(frozen=True, slots=True)
class ReviewItem:
    """An input that is worth labeling. `reason` says why."""

    request_id: str
    index: int
    model: str
    answered_at: datetime
    reason: str
    other_model: str | None
    input: dict[str, Any]
    answer: dict[str, Any]
    scores: tuple[dict[str, Any], ...]
    margin: float | None
    feedback: dict[str, Any] | None
