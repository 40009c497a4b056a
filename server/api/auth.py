"""Authentication: from the `Authorization` header of a request to its caller."""

from dataclasses import dataclass
from typing import Final

from fastapi.concurrency import run_in_threadpool

from prefixes.limits import UNLIMITED
from prefixes.registry import Actor, ApiKeys, Identity
from server.errors import InvalidKey, TenantSuspended

_OPERATOR: Final = "operator "
"""Begins the name of an operator's actor. No tenant's name contains a space."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request. `identity` is None for a request without a key.

    `tenant` is None without a key and for an operator's key, which belongs to no tenant.
    """

    tenant: str | None
    identity: Identity | None = None

    @property
    def is_operator(self) -> bool:
        return self.identity is not None and self.identity.role == "operator"

    @property
    def key_id(self) -> str | None:
        return None if self.identity is None else self.identity.key_id

    @property
    def name(self) -> str | None:
        """The tenant, or `operator` with the id of the key. None for an anonymous caller."""
        if self.identity is None:
            return None
        return self.tenant or f"{_OPERATOR}{self.identity.key_id}"

    @property
    def max_upload_bytes(self) -> float:
        """The lower one of the tenant's and the key's limit; infinity without a key."""
        if self.identity is None:
            return UNLIMITED
        limits = (self.identity.limits, self.identity.key_limits)
        return min(one.max_upload_bytes for one in limits)

    def reader_of(self, tenant: str) -> str | None:
        """Return the reader for a route of a tenant: operators see what the tenant sees."""
        return tenant if self.is_operator else self.tenant

    def actor(self, request_id: str) -> Actor:
        """Return the caller as the audit log names it."""
        assert self.identity is not None, "no route lets callers without a key change anything"
        assert self.name is not None
        return Actor(self.name, self.identity.key_id, request_id)

    def author(self, name: str, owner: str) -> str:
        """Return the author of a change of an owner's prefix, as this caller may see it.

        Only the owner and operators see which operator's key made the change.
        """
        is_hidden = name.startswith(_OPERATOR) and not self.manages(owner)
        return _OPERATOR.strip() if is_hidden else name

    def manages(self, tenant: str) -> bool:
        """Return whether the caller sees what only the owner of a prefix and operators see."""
        return self.reader_of(tenant) == tenant


ANONYMOUS: Final = Caller(None)


async def authenticate(authorization: str | None, keys: ApiKeys) -> Caller:
    """Find the owner of the key that a request carries.

    Args:
        authorization: the value of the header, None for a request without it.
        keys: the issued keys.

    Raises:
        InvalidKey: when there is a header without a valid key. An invalid key never counts as no
            key: a typo would silently give the caller the rights of an anonymous one.
        TenantSuspended: when the key belongs to a suspended tenant.
    """
    if authorization is None:
        return ANONYMOUS
    key = bearer_token(authorization)
    if key is None:
        raise InvalidKey(
            "The Authorization header has no bearer token. Send `Authorization: Bearer pp_...`."
        )
    identity = keys.recall(key) or await run_in_threadpool(keys.authenticate, key)
    if identity is None:
        raise InvalidKey(
            "The API key is unknown, revoked or expired. Check the Authorization header."
        )
    if identity.is_suspended:
        raise TenantSuspended(
            f"The tenant {identity.tenant} is suspended. Contact the operator of this server."
        )
    return Caller(identity.tenant, identity)


async def is_accepted(authorization: str | None, keys: ApiKeys) -> bool:
    """Return whether a request with this header would still get past `authenticate`.

    Raises:
        StoreUnavailable: when the database cannot be used.
    """
    try:
        await authenticate(authorization, keys)
    except (InvalidKey, TenantSuspended):
        return False
    return True


def bearer_token(authorization: str) -> str | None:
    """Return the token of a header with the scheme `Bearer`, in any case; else None."""
    scheme, _, token = authorization.partition(" ")
    return (token.strip() or None) if scheme.lower() == "bearer" else None
