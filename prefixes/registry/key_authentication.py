"""KeyAuthentication: what an API key proves."""

import hmac
import time
from collections.abc import Mapping

from sqlalchemy import Connection

from prefixes.errors import DatabaseUnreachable
from prefixes.limits import NOT_SET, LimitSet
from prefixes.registry.database import Database
from prefixes.registry.key_rows import find_identities, parse_key, sha256
from prefixes.registry.key_uses import KeyUses
from prefixes.registry.query_cache import QueryCache
from prefixes.registry.values import Identity


class KeyAuthentication:
    """The identities of API keys. Safe to use from many threads.

    `default_limits` apply to tenants without limits of their own.
    """

    def __init__(self, database: Database, default_limits: LimitSet = NOT_SET) -> None:
        self._default_limits = default_limits
        self.uses = KeyUses(database)
        self._database = database
        # By the SHA-256 of the key, with that of its secret.
        self._identities: QueryCache[str, tuple[str, Identity]] = QueryCache(database)

    def authenticate(self, key: str) -> Identity | None:
        """Return what a key proves; None if it is unknown, revoked, expired or malformed.

        The key of a deleted tenant counts as unknown. That of a suspended one is valid, and says
        so.
        """
        parts = parse_key(key)
        if parts is None:
            return None
        key_id, digest = parts

        def read(connection: Connection) -> dict[str, tuple[str, Identity]]:
            found = find_identities(connection, [key_id], self._default_limits).get(key_id)
            if found is None or not hmac.compare_digest(found[0], digest):
                return {}
            return {sha256(key): found}

        # Only valid keys are cached: the number of invalid ones is unlimited.
        try:
            found = self._identities.query(read)
        except DatabaseUnreachable:
            known = self.recall(key)  # from the moment it counts as away
            if known is None:
                raise
            return known
        return self._current(found[sha256(key)][1] if found else None)

    def recall(self, key: str) -> Identity | None:
        """Return what `authenticate` would, or None if that requires waiting for the database."""
        if not key.isascii():
            return None
        name = sha256(key)
        found = self._identities.recall([name])
        return None if found is None else self._current(found[name][1])

    def refresh(self) -> None:
        """Read again keys that were used before the last change: an outage needs them cached."""
        self._identities.refresh(self._read_again)

    def _read_again(
        self, connection: Connection, former: Mapping[str, tuple[str, Identity]]
    ) -> dict[str, tuple[str, Identity]]:
        ids = [identity.key_id for _, identity in former.values()]
        found = find_identities(connection, ids, self._default_limits)
        return {
            name: current
            for name, (secret, identity) in former.items()
            if (current := found.get(identity.key_id)) is not None and current[0] == secret
        }

    def _current(self, identity: Identity | None) -> Identity | None:
        """Return an identity that has not expired, and note that its key was used."""
        # Answers outlive a time of expiry, because nothing in the database changes then.
        if identity is None or identity.expires_at <= (moment := time.time()):
            return None
        self.uses.note(identity.key_id, moment)
        return identity
