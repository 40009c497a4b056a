"""Changes of API keys within a transaction, and the rules for them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, update

from prefixes.errors import KeyNotValid, LastOperatorKey
from prefixes.registry.audit import Action, record
from prefixes.registry.key_rows import find_keys
from prefixes.registry.tables import api_keys
from prefixes.registry.values import Actor, ApiKey


def change_key(
    connection: Connection, key: ApiKey, values: Mapping[str, Any], action: Action, by: Actor
) -> None:
    """Change a key's row, and write the audit event."""
    connection.execute(update(api_keys).where(api_keys.c.id == key.id).values(**values))
    record(
        connection,
        by,
        action,
        key.id,
        tenant=key.tenant,
        before={field: getattr(key, field) for field in values},
        after=values,
    )


def check_rotation(key: ApiKey, moment: datetime) -> None:
    """Raise KeyNotValid for a key that cannot be rotated."""
    state = "replaced" if key.replaced_by is not None else key.state(moment)
    if state != "valid":
        raise KeyNotValid(
            f"The API key {key.id} is {state}, so it cannot be rotated: rotate a valid key, or "
            "create a new one"
        )


def check_not_last(connection: Connection, key: ApiKey) -> None:
    """Raise LastOperatorKey if no other operator's key stays valid without an end."""
    others = [one for one in find_keys(connection, None) if one.id != key.id]
    # A key that expires does not count: nobody could issue another one after its end.
    if not any(one.revoked_at is None and one.expires_at is None for one in others):
        raise LastOperatorKey(
            f"No other operator's key than {key.id} is valid without an end: issue one that does "
            "not expire first, or use the command line"
        )
