"""ApiKeys: the secrets that identify tenants and operators. Only their SHA-256 is stored.

A key has the form `pp_<id>_<secret>`. The id is public and selects the row; the secret
authenticates the caller. It has 256 random bits, so a fast hash is enough: it cannot be guessed.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Connection

from prefixes.errors import KeyNotValid
from prefixes.registry.key_authentication import KeyAuthentication
from prefixes.registry.key_changes import change_key, check_not_last, check_rotation
from prefixes.registry.key_rows import (
    add_key,
    find_key,
    find_keys,
    has_key,
    id_of,
    new_key,
    parse_key,
)
from prefixes.registry.limit_rows import copy_key_limits
from prefixes.registry.tables import now
from prefixes.registry.values import COMMAND_LINE, Actor, ApiKey, IssuedKey, Role


class ApiKeys(KeyAuthentication):
    """The API keys of all tenants and operators. Safe to use from many threads.

    `tenant` is the owner of keys, and None for operators. `default_limits` apply to tenants
    without limits of their own. Every method raises StoreUnavailable when the database cannot be
    used.
    """

    def issue(
        self,
        tenant: str | None,
        label: str,
        *,
        role: Role = "admin",
        expires_at: datetime | None = None,
        by: Actor = COMMAND_LINE,
    ) -> IssuedKey:
        """Create a key. Only the returned value contains it.

        Raises:
            TenantNotFound: when the tenant does not exist.
        """
        key = new_key()
        with self._database.write() as connection:
            facts = add_key(
                connection,
                key,
                tenant=tenant,
                role=role,
                label=label,
                expires_at=expires_at,
                by=by,
            )
        return IssuedKey(key, facts)

    def install_first(self, key: str, label: str, *, save: Callable[[], None], by: Actor) -> bool:
        """Store an operator's key that was made elsewhere, if no operator has ever had one.

        Several servers may start at the same time with one store. Only one of them saves its key.

        Args:
            key: the key.
            label: its label.
            save: keeps the key for the operator, before it becomes valid.
            by: who makes the key.
        """
        with self._database.write() as connection:
            if find_keys(connection, None):
                return False
            _add_operator_key(connection, key, label, by)
            save()
            return True

    def install(self, key: str, label: str, *, by: Actor) -> None:
        """Store an operator's key that was made elsewhere, unless it is stored already.

        Raises:
            KeyNotValid: when the id belongs to another key, or the stored key is not valid.
        """
        parts = parse_key(key)
        assert parts is not None, "the caller has made or checked the key"
        with self._database.write() as connection:
            if not has_key(connection, parts[0]):
                _add_operator_key(connection, key, label, by)
                return
        identity = self.authenticate(key)
        if identity is None or identity.role != "operator":
            raise KeyNotValid(
                f"The operator's key with the id {parts[0]} is revoked or expired, or the id "
                "belongs to another key: make a new key"
            )

    def revoke(self, key_id: str, *, by: Actor = COMMAND_LINE) -> None:
        """Revoke a key. A key that is already revoked keeps its time of revocation.

        Raises:
            KeyNotFound: when no key has this id.
            LastOperatorKey: when a request revokes the last operator's key that does not expire.
                The command line may do that, because it can also make another one.
        """

        def revoke(connection: Connection) -> None:
            key = find_key(connection, key_id)
            if key.revoked_at is not None:
                return
            if key.role == "operator" and by.key_id is not None:
                check_not_last(connection, key)
            change_key(connection, key, {"revoked_at": now()}, "key.revoke", by)

        self._database.free(revoke)  # must not wait for space on a full disk

    def rotate(
        self,
        key_id: str,
        *,
        overlap: timedelta,
        expires_at: datetime | None = None,
        by: Actor = COMMAND_LINE,
    ) -> IssuedKey:
        """Create a key with the role, label and limits of another one, which then expires.

        Args:
            key_id: the key to replace.
            overlap: how long the replaced key stays valid; no longer than it is valid now.
            expires_at: when the new key expires; None for never.
            by: who rotates the key.

        Raises:
            KeyNotFound: when no key has this id.
            KeyNotValid: when the key is revoked, expired or already replaced.
            TenantNotFound: when the tenant of the key is deleted.
            LastOperatorKey: when a request replaces the last operator's key that stays valid by
                one that expires.
        """
        fresh = new_key()
        with self._database.write() as connection:
            moment = now()
            old = find_key(connection, key_id)
            check_rotation(old, moment)
            if old.role == "operator" and by.key_id is not None and expires_at is not None:
                check_not_last(connection, old)
            facts = add_key(
                connection,
                fresh,
                tenant=old.tenant,
                role=old.role,
                label=old.label,
                expires_at=expires_at,
                by=by,
            )
            copy_key_limits(connection, key_id, facts.id)
            last = moment + overlap
            end = last if old.expires_at is None else min(last, old.expires_at)
            values = {"expires_at": end, "replaced_by": id_of(fresh)}
            change_key(connection, old, values, "key.rotate", by)
        return IssuedKey(fresh, facts)

    def find(self, key_id: str) -> ApiKey:
        """Read a key.

        Raises:
            KeyNotFound: when no key has this id.
        """
        with self._database.read() as connection:
            return find_key(connection, key_id)

    def list(
        self, tenant: str | None, *, after: str | None = None, limit: int | None = None
    ) -> tuple[ApiKey, ...]:
        """List the keys of an owner, oldest first, including revoked ones.

        Args:
            tenant: the owner.
            after: the id of the last key of the previous page.
            limit: maximum number of keys; None for all.

        Raises:
            KeyNotFound: when the owner has no key with the id `after`.
        """
        with self._database.read() as connection:
            return find_keys(connection, tenant, after=after, limit=limit)


def _add_operator_key(connection: Connection, key: str, label: str, by: Actor) -> None:
    add_key(connection, key, tenant=None, role="operator", label=label, expires_at=None, by=by)
