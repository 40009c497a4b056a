"""Checks, within the transaction of a change, that the key of the request is still valid."""

from sqlalchemy import Connection, select

from prefixes.errors import ActingKeyInvalid
from prefixes.registry.tables import api_keys, now, tenants
from prefixes.registry.values import Actor


def check_acting_key(connection: Connection, by: Actor) -> None:
    """Check the key of a change. The body of a request may arrive long after its first check.

    Without this check, a request that was begun with a leaked key could create another key after
    the leaked one was revoked.

    Raises:
        ActingKeyInvalid: when the key was revoked or has expired, or its tenant was suspended or
            deleted.
    """
    if by.key_id is None:
        return
    row = connection.execute(
        select(
            api_keys.c.revoked_at,
            api_keys.c.expires_at,
            tenants.c.suspended_at,
            tenants.c.deleted_at,
        )
        .select_from(api_keys.join(tenants, tenants.c.id == api_keys.c.tenant_id, isouter=True))
        .where(api_keys.c.id == by.key_id)
    ).one_or_none()
    is_expired = row is not None and row.expires_at is not None and row.expires_at <= now()
    if row is None or is_expired or row.revoked_at or row.suspended_at or row.deleted_at:
        raise ActingKeyInvalid(
            f"The API key {by.key_id} became invalid during the request, so nothing was changed: "
            "repeat the request with a valid key"
        )
