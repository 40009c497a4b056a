"""Authentication: from the `Authorization` header of a request to its caller."""

from dataclasses import dataclass
from typing import Final

from fastapi.concurrency import run_in_threadpool

from prefixes.registry import ApiKeys
from prefixes.registry.lookup import not_found
from server.errors import InvalidKey, KeyRequired


@dataclass(frozen=True, slots=True)
class Caller:
    """The tenant of the request's key. None for a request without a key."""

    tenant: str | None


ANONYMOUS: Final = Caller(None)


async def authenticate(authorization: str | None, keys: ApiKeys) -> Caller:
    """Find the tenant whose key a request carries.

    Args:
        authorization: the value of the header, None for a request without it.
        keys: the issued keys.

    Raises:
        InvalidKey: when there is a header without a valid key. An invalid key never counts as no
            key: a typo would silently give the caller the rights of an anonymous one.
    """
    if authorization is None:
        return ANONYMOUS
    key = bearer_token(authorization)
    if key is None:
        raise InvalidKey(
            "The Authorization header has no bearer token. Send `Authorization: Bearer pp_...`."
        )
    tenant = keys.recall(key) or await run_in_threadpool(keys.authenticate, key)
    if tenant is None:
        raise InvalidKey("The API key is unknown or revoked. Check the Authorization header.")
    return Caller(tenant.name)


def bearer_token(authorization: str) -> str | None:
    """Return the token of a header with the scheme `Bearer`, in any case; else None."""
    scheme, _, token = authorization.partition(" ")
    return (token.strip() or None) if scheme.lower() == "bearer" else None


def require_owner(caller: Caller, tenant: str, task: str) -> None:
    """Check that the caller may change a task.

    Raises:
        KeyRequired: for an anonymous caller.
        PrefixNotFound: for the key of another tenant, with the message of a missing prefix.
    """
    if caller.tenant is None:
        raise KeyRequired(f"Changing {tenant}/{task} requires a key of the tenant. Send one.")
    if caller.tenant != tenant:
        raise not_found(f"{tenant}/{task}")
