"""ApiKeys: the secrets that identify tenants. Only their SHA-256 is stored.

A key has the form `pp_<id>_<secret>`. The id is public and selects the row; the secret
authenticates the caller. It has 256 random bits, so a fast hash is enough: it cannot be guessed.
"""

import hashlib
import hmac
import re
import secrets

from sqlalchemy import Connection, bindparam, insert, select, update

from prefixes.errors import KeyNotFound
from prefixes.registry.answer_cache import AnswerCache
from prefixes.registry.database import Database
from prefixes.registry.tables import api_keys, now, tenants
from prefixes.registry.tenants import find_tenant_id
from prefixes.registry.values import ApiKey, Tenant

_ID_BYTES = 6
_SECRET_BYTES = 32
_FORM = re.compile(r"pp_([0-9a-f]{12})_([A-Za-z0-9_-]{43})", re.ASCII)

# Built once: it runs for every request.
_BY_ID = (
    select(api_keys.c.secret_sha256, api_keys.c.revoked_at, tenants.c.name, tenants.c.is_public)
    .join(tenants, tenants.c.id == api_keys.c.tenant_id)
    .where(api_keys.c.id == bindparam("key_id"))
)


class ApiKeys:
    """The API keys of all tenants. Safe to use from many threads.

    Every method raises StoreUnavailable when the database cannot be used.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._owners: AnswerCache[str, Tenant] = AnswerCache(database)

    def issue(self, tenant: str, label: str) -> str:
        """Create a key for a tenant and return it. It cannot be read again later.

        Raises:
            TenantNotFound: when the tenant does not exist.
        """
        key_id = secrets.token_hex(_ID_BYTES)
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        with self._database.write() as connection:
            connection.execute(
                insert(api_keys).values(
                    id=key_id,
                    tenant_id=find_tenant_id(connection, tenant),
                    secret_sha256=_sha256(secret),
                    label=label,
                    created_at=now(),
                )
            )
        return f"pp_{key_id}_{secret}"

    def authenticate(self, key: str) -> Tenant | None:
        """Return the tenant that a key belongs to; None if it is unknown, revoked or malformed."""
        parts = _FORM.fullmatch(key)
        if parts is None:
            return None
        key_id, secret = parts.groups()
        digest = _sha256(secret)

        def read(connection: Connection) -> dict[str, Tenant]:
            row = connection.execute(_BY_ID, {"key_id": key_id}).one_or_none()
            if row is None or row.revoked_at is not None:
                return {}
            if not hmac.compare_digest(row.secret_sha256, digest):
                return {}
            return {_sha256(key): Tenant(row.name, row.is_public)}

        # Only valid keys are cached: the number of invalid ones is unlimited.
        return next(iter(self._owners.ask(read).values()), None)

    def recall(self, key: str) -> Tenant | None:
        """Return what `authenticate` would, or None if that requires waiting for the database."""
        if _FORM.fullmatch(key) is None:
            return None
        name = _sha256(key)
        found = self._owners.recall([name])
        return None if found is None else found[name]

    def revoke(self, key_id: str) -> None:
        """Revoke a key. A key that is already revoked keeps its time of revocation.

        Raises:
            KeyNotFound: when no key has this id.
        """

        def revoke(connection: Connection) -> None:
            here = api_keys.c.id == key_id
            if connection.scalar(select(api_keys.c.id).where(here)) is None:
                raise KeyNotFound(
                    f"There is no API key with the id {key_id[:80]!r}: give the part of the key "
                    "between its first two underscores"
                )
            connection.execute(
                update(api_keys)
                .where(here, api_keys.c.revoked_at.is_(None))
                .values(revoked_at=now())
            )

        self._database.free(revoke)  # must not wait for space on a full disk

    def list(self, tenant: str) -> tuple[ApiKey, ...]:
        """List a tenant's keys, oldest first, including revoked ones."""
        query = (
            select(
                api_keys.c.id,
                tenants.c.name,
                api_keys.c.label,
                api_keys.c.created_at,
                api_keys.c.revoked_at,
            )
            .join(tenants, tenants.c.id == api_keys.c.tenant_id)
            .where(tenants.c.name == tenant)
            .order_by(api_keys.c.created_at, api_keys.c.id)
        )
        with self._database.read() as connection:
            return tuple(ApiKey(*row) for row in connection.execute(query))


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
