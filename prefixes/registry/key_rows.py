"""The rows of API keys: their form, and finding and listing them within a transaction."""

import hashlib
import re
import secrets
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, bindparam, insert, or_, select

from prefixes.errors import KeyNotFound
from prefixes.limits import NO_LIMITS, Limits, LimitSet
from prefixes.registry.audit import record
from prefixes.registry.limit_rows import find_limits_of
from prefixes.registry.tables import api_keys, feedback_settings, now, tenants
from prefixes.registry.tenants import find_tenant_id
from prefixes.registry.values import Actor, ApiKey, Identity, Role

_ID_BYTES: Final = 6
_SECRET_BYTES: Final = 32
_ID: Final = re.compile(r"[0-9a-f]{12}", re.ASCII)
_FORM: Final = re.compile(r"pp_([0-9a-f]{12})_([A-Za-z0-9_-]{43})", re.ASCII)

_COLUMNS: Final[tuple[ColumnElement[Any], ...]] = (
    api_keys.c.id,
    tenants.c.name,
    api_keys.c.role,
    api_keys.c.label,
    api_keys.c.created_at,
    api_keys.c.expires_at,
    api_keys.c.revoked_at,
    api_keys.c.last_used_at,
    api_keys.c.replaced_by,
)
_WITH_TENANT: Final = api_keys.join(tenants, tenants.c.id == api_keys.c.tenant_id, isouter=True)
_KEYS: Final = (
    select(*_COLUMNS).select_from(_WITH_TENANT).order_by(api_keys.c.created_at, api_keys.c.id)
)

# Built once: it runs for every request that the cache cannot answer.
_IDENTITIES: Final = (
    select(
        api_keys.c.id,
        api_keys.c.secret_sha256,
        api_keys.c.role,
        api_keys.c.expires_at,
        tenants.c.id.label("tenant_id"),
        tenants.c.name,
        tenants.c.suspended_at,
        feedback_settings.c.sample_percent,
    )
    .select_from(
        _WITH_TENANT.outerjoin(
            feedback_settings,
            and_(feedback_settings.c.tenant_id == tenants.c.id, feedback_settings.c.is_enabled),
        )
    )
    .where(
        api_keys.c.id.in_(bindparam("key_ids", expanding=True)),
        api_keys.c.revoked_at.is_(None),
        tenants.c.deleted_at.is_(None),
    )
)


def parse_key(key: str) -> tuple[str, str] | None:
    """Split a key into its id and the SHA-256 of its secret; None if it is malformed."""
    parts = _FORM.fullmatch(key)
    return None if parts is None else (parts[1], sha256(parts[2]))


def sha256(text: str) -> str:
    """Return the SHA-256 of a text, in hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def new_key() -> str:
    """Make a key that cannot be guessed."""
    return f"pp_{secrets.token_hex(_ID_BYTES)}_{secrets.token_urlsafe(_SECRET_BYTES)}"


def id_of(key: str) -> str:
    """Return the public part of a well-formed key."""
    return key.split("_", 2)[1]


def add_key(
    connection: Connection,
    key: str,
    *,
    tenant: str | None,
    role: Role,
    label: str,
    expires_at: datetime | None,
    by: Actor,
) -> ApiKey:
    """Store a key without its secret, and return what is stored.

    A key without a tenant belongs to an operator.

    Raises:
        TenantNotFound: when the tenant does not exist.
    """
    parts = parse_key(key)
    assert parts is not None, "the caller has made or checked the key"
    shown = {"role": role, "label": label, "expires_at": expires_at}
    connection.execute(
        insert(api_keys).values(
            id=parts[0],
            tenant_id=None if tenant is None else find_tenant_id(connection, tenant),
            secret_sha256=parts[1],
            created_at=now(),
            **shown,
        )
    )
    record(connection, by, "key.issue", parts[0], tenant=tenant, after=shown)
    return find_key(connection, parts[0])


def has_key(connection: Connection, key_id: str) -> bool:
    """Return whether a key has this id, also if it is revoked."""
    return connection.scalar(select(api_keys.c.id).where(api_keys.c.id == key_id)) is not None


def find_identities(
    connection: Connection, key_ids: Collection[str], default_limits: LimitSet
) -> dict[str, tuple[str, Identity]]:
    """Read the SHA-256 of keys' secrets and what the keys prove, by id, except revoked ones."""
    rows = connection.execute(_IDENTITIES, {"key_ids": list(key_ids)}).all()
    tenant_ids = {row.tenant_id for row in rows if row.tenant_id is not None}
    limits = find_limits_of(connection, tenant_ids, key_ids) if tenant_ids else {}
    return {row.id: (row.secret_sha256, _identity(row, limits, default_limits)) for row in rows}


def _identity(row: Any, limits: Mapping[int | str, LimitSet], default_limits: LimitSet) -> Identity:
    is_of_tenant = row.tenant_id is not None
    return Identity(
        row.id,
        row.name,
        row.role,
        is_suspended=row.suspended_at is not None,
        expires_at=float("inf") if row.expires_at is None else row.expires_at.timestamp(),
        limits=Limits.of(default_limits, limits[row.tenant_id]) if is_of_tenant else NO_LIMITS,
        key_limits=Limits.of(limits[row.id]) if is_of_tenant else NO_LIMITS,
        recorded_percent=row.sample_percent or 0.0,
    )


def find_keys(
    connection: Connection,
    tenant: str | None,
    *,
    after: str | None = None,
    limit: int | None = None,
) -> tuple[ApiKey, ...]:
    """List the keys of a tenant, or of operators, oldest first.

    Args:
        connection: the transaction.
        tenant: the owner; None for operators.
        after: the id of the last key of the previous page.
        limit: maximum number of keys; None for all.

    Raises:
        KeyNotFound: when the owner has no key with the id `after`.
    """
    is_theirs = api_keys.c.tenant_id.is_(None) if tenant is None else tenants.c.name == tenant
    query = _KEYS.where(is_theirs).limit(limit)
    if after is not None:
        query = query.where(_is_later_than(find_key(connection, after), tenant))
    return tuple(ApiKey(*row) for row in connection.execute(query))


def _is_later_than(last: ApiKey, tenant: str | None) -> ColumnElement[bool]:
    if last.tenant != tenant:
        raise no_key(last.id)
    created_at = api_keys.c.created_at
    is_same_moment = and_(created_at == last.created_at, api_keys.c.id > last.id)
    return or_(created_at > last.created_at, is_same_moment)


def find_key(connection: Connection, key_id: str) -> ApiKey:
    """Read one key.

    Raises:
        KeyNotFound: when no key has this id.
    """
    # PostgreSQL rejects NUL: only well-formed ids are looked up.
    is_id = _ID.fullmatch(key_id) is not None
    row = connection.execute(_KEYS.where(api_keys.c.id == key_id)).one_or_none() if is_id else None
    if row is None:
        raise no_key(key_id)
    return ApiKey(*row)


def no_key(key_id: str) -> KeyNotFound:
    """Make the error for a missing key, which is also that for another tenant's key."""
    return KeyNotFound(
        f"There is no API key with the id {key_id[:80]!r}: give the part of the key between its "
        "first two underscores"
    )
