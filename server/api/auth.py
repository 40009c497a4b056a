"""Who is calling: from the `Authorization` header to a Caller."""

from dataclasses import dataclass

from fastapi.concurrency import run_in_threadpool

from prefixes.registry import ApiKeys
from prefixes.registry.lookup import not_found
from server.errors import InvalidKey, KeyRequired


@dataclass(frozen=True, slots=True)
class Caller:
    """The tenant of the request's key; None for a request without a key."""

    tenant: str | None


ANONYMOUS = Caller(None)


async def authenticate(authorization: str | None, keys: ApiKeys) -> Caller:
    """Find out whose key a request carries.

    Args:
        authorization: the header's value, None when the request has none.
        keys: the issued keys.

    Raises:
        InvalidKey: when there is a header, but not with a valid key. A wrong key is never taken
            for no key, or a typo would silently give an anonymous caller's rights.
    """
    if authorization is None:
        return ANONYMOUS
    scheme, _, secret = authorization.partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise InvalidKey("The Authorization header is not understood: expected `Bearer pp_...`")
    key = secret.strip()
    tenant = keys.recall(key) or await run_in_threadpool(keys.authenticate, key)
    if tenant is None:
        raise InvalidKey("The key is unknown or was revoked: check the Authorization header")
    return Caller(tenant.name)


def require_owner(caller: Caller, tenant: str, task: str) -> None:
    """Let the caller pass when they may change this task.

    Raises:
        KeyRequired: for an anonymous caller.
        PrefixNotFound: for another tenant's key, in the words for a prefix that is not there.
    """
    if caller.tenant is None:
        raise KeyRequired(f"Changing {tenant}/{task} needs a key of the tenant")
    if caller.tenant != tenant:
        raise not_found(f"{tenant}/{task}")
