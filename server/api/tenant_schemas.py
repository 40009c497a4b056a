"""Wire models of tenants, API keys, readers of prefixes, and audit events."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, Field, JsonValue

from prefixes.registry import Role
from server.api.limit_schemas import ShownLimit
from server.api.schemas import StrictRequest, WireResponse

_MAX_LABEL: Final = 200
_YEAR_SECONDS: Final = 366 * 86_400

_Public = Annotated[
    bool, Field(description="Whether everyone may use and download the tenant's prefixes.")
]
# Commands print labels to the operator's terminal, which obeys control characters.
_PRINTABLE: Final = r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*$"
_Label = Annotated[
    str,
    Field(
        max_length=_MAX_LABEL,
        pattern=_PRINTABLE,
        description="A note on what the key is used for, without control characters.",
    ),
]
_Lifetime = Annotated[
    int | None,
    Field(ge=1, le=10 * _YEAR_SECONDS, description="Time until the key expires. Absent: never."),
]


class TenantRequest(StrictRequest):
    name: str = Field(max_length=64)
    is_public: _Public = False


class TenantChange(StrictRequest):
    is_public: _Public


class TenantStatus(WireResponse):
    name: str
    state: Literal["active", "suspended", "deleted"]
    is_public: bool
    created_at: AwareDatetime
    suspended_at: AwareDatetime | None
    deleted_at: AwareDatetime | None


class TenantList(WireResponse):
    tenants: list[TenantStatus]
    next: str | None = Field(description="Path of the next page.")


class OperatorKeyRequest(StrictRequest):
    label: _Label = ""
    expires_in_seconds: _Lifetime = None


class KeyRequest(OperatorKeyRequest):
    role: Literal["infer", "upload", "admin"] = Field(
        description="Each role includes the ones before it."
    )


class RotateRequest(StrictRequest):
    overlap_seconds: int = Field(
        default=86_400,
        ge=0,
        le=90 * 86_400,
        description="How long the old key stays valid.",
    )
    expires_in_seconds: _Lifetime = None


DEFAULT_ROTATION: Final = RotateRequest()
"""The body of a rotation that has none."""


class KeyStatus(WireResponse):
    id: str = Field(description="The part of the key between its first two underscores.")
    tenant: str | None = Field(description="Null for the key of an operator.")
    role: Role
    label: str
    state: Literal["valid", "expired", "revoked"]
    created_at: AwareDatetime
    expires_at: AwareDatetime | None
    revoked_at: AwareDatetime | None
    last_used_at: AwareDatetime | None = Field(description="Up to two minutes late.")
    replaced_by: str | None = Field(description="Id of the key that a rotation made.")
    limits: dict[str, ShownLimit] = Field(description="The limits that are set for the key.")


class NewKey(KeyStatus):
    key: str = Field(description="The key. Only this response contains it.")


class KeyList(WireResponse):
    keys: list[KeyStatus]
    next: str | None = Field(description="Path of the next page.")


class ReaderList(WireResponse):
    is_public: bool = Field(description="Whether everyone may read the prefix.")
    tenants: list[str] = Field(description="Tenants that may read the prefix, by name.")
    next: str | None = Field(description="Path of the next page.")


class AuditRecord(WireResponse):
    id: int
    at: AwareDatetime
    actor: str = Field(description="A tenant, an operator's key, or what made the change locally.")
    key_id: str | None
    request_id: str | None
    tenant: str | None = Field(description="Owner of the object; null for operators' keys.")
    action: str
    object: str
    before: dict[str, JsonValue] | None
    after: dict[str, JsonValue] | None


class AuditPage(WireResponse):
    events: list[AuditRecord]
    next: str | None = Field(description="Path of the next page.")


def expiry(seconds: int | None) -> datetime | None:
    """Return the moment that is so many seconds away; None for None."""
    return None if seconds is None else datetime.now(UTC) + timedelta(seconds=seconds)
