"""Idempotency keys: a change is made once, however often a client sends its request.

A key is stored in the transaction of its change. After a crash, either both are there or neither.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import ColumnElement, Connection, ScalarSelect, and_, delete, insert, select

from prefixes.errors import IdempotencyKeyReused
from prefixes.registry.tables import idempotency_keys, now, tenants

KEPT: Final = timedelta(hours=24)
"""Time after which a key is forgotten, and may be used for another request."""


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A key that a client chose for a request, and a digest of everything the request asks for."""

    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class FormerResult:
    """The result of the first request with a key; `is_new` is false if it published nothing."""

    version: int
    is_new: bool


def find_result(
    connection: Connection, tenant: str, key: IdempotencyKey | None
) -> FormerResult | None:
    """Find the result of an earlier request of the tenant with this key, or None.

    Raises:
        IdempotencyKeyReused: when that request asked for something else.
    """
    if key is None:
        return None
    query = select(
        idempotency_keys.c.fingerprint, idempotency_keys.c.version, idempotency_keys.c.is_new
    ).where(_here(tenant, key), idempotency_keys.c.created_at > now() - KEPT)
    found = connection.execute(query).one_or_none()
    if found is None:
        return None
    if found.fingerprint != key.fingerprint:
        raise IdempotencyKeyReused(
            f"The Idempotency-Key {key.key!r} was used for another request within the last "
            f"{KEPT // timedelta(hours=1)} hours: use a new key for each request, and the same one "
            "only to repeat it unchanged"
        )
    return FormerResult(found.version, found.is_new)


def note_result(
    connection: Connection,
    tenant: str,
    key: IdempotencyKey | None,
    *,
    version: int,
    is_new: bool = False,
) -> None:
    """Store the result of a change for requests that repeat it. Without a key, do nothing."""
    if key is None:
        return
    connection.execute(delete(idempotency_keys).where(_here(tenant, key)))  # an expired one
    connection.execute(
        insert(idempotency_keys).values(
            tenant_id=_id_of(tenant),
            key=key.key,
            fingerprint=key.fingerprint,
            version=version,
            is_new=is_new,
            created_at=now(),
        )
    )


def forget_expired(connection: Connection) -> None:
    """Remove the keys whose time has passed."""
    expired = idempotency_keys.c.created_at <= now() - KEPT
    connection.execute(delete(idempotency_keys).where(expired))


def _here(tenant: str, key: IdempotencyKey) -> ColumnElement[bool]:
    return and_(idempotency_keys.c.tenant_id == _id_of(tenant), idempotency_keys.c.key == key.key)


def _id_of(tenant: str) -> ScalarSelect[int]:
    return select(tenants.c.id).where(tenants.c.name == tenant).scalar_subquery()
