"""Allowance: the limits of one request, its tenant's and its key's, as the engine gets them."""

from dataclasses import dataclass
from typing import Final, Literal, Self

from prefixes.limits import NO_LIMITS, UNLIMITED, Limits
from prefixes.registry import Identity


@dataclass(frozen=True, slots=True)
class Account:
    """The limits that all requests of a tenant, or all requests with a key, share.

    `name` is the tenant or the id of the key; None stands for all anonymous callers together.
    `scope` begins the names of limits on requests that are not inference.
    """

    kind: Literal["tenant", "key"]
    name: str | None
    requests_per_second: float
    tokens_per_second: float = UNLIMITED
    max_in_flight_texts: float = UNLIMITED
    scope: Literal["", "management_"] = ""

    @classmethod
    def of(cls, kind: Literal["tenant", "key"], name: str | None, limits: Limits) -> Self | None:
        """Select the limits of requests; return None if all are infinite."""
        rates = (limits.requests_per_second, limits.tokens_per_second, limits.max_in_flight_texts)
        return None if rates == _NONE else cls(kind, name, *rates)

    @classmethod
    def of_management(cls, kind: Literal["tenant", "key"], name: str | None, rate: float) -> Self:
        """Build the account of the requests that are not inference."""
        return cls(kind, name, rate, scope="management_")

    def __str__(self) -> str:
        if self.name is None:
            return "callers without a key"
        return f"the {self.kind} {self.name}"


_KEY_SHARE: Final = 0.5
"""A leaked key must leave some of its tenant's management requests, to revoke it with another."""

_NONE: Final = (UNLIMITED, UNLIMITED, UNLIMITED)


@dataclass(frozen=True, slots=True)
class Allowance:
    """The accounts that a request is charged to, and its tenant's share of the device.

    `key_id` is the key that its usage counts for.
    """

    accounts: tuple[Account, ...] = ()
    weight: float = 1.0
    key_id: str | None = None

    @classmethod
    def of(cls, identity: Identity | None, anonymous: Limits) -> Self:
        """Build the allowance of a caller; `anonymous` are the limits of those without a key."""
        if identity is None:
            return cls._of(Account.of("tenant", None, anonymous))
        if identity.limits is NO_LIMITS and identity.key_limits is NO_LIMITS:
            return cls(key_id=identity.key_id)
        return cls._of(
            Account.of("tenant", identity.tenant, identity.limits),
            Account.of("key", identity.key_id, identity.key_limits),
            weight=identity.limits.weight,
            key_id=identity.key_id,
        )

    @classmethod
    def of_management(cls, identity: Identity | None, anonymous: Limits) -> Self:
        """Build the allowance of a request that is not inference. Parameters as for `of`."""
        if identity is None:
            rate = anonymous.management_requests_per_second
            accounts = [Account.of_management("tenant", None, rate)]
        else:
            rate = identity.limits.management_requests_per_second
            of_key = min(identity.key_limits.management_requests_per_second, rate * _KEY_SHARE)
            accounts = [
                Account.of_management("tenant", identity.tenant, rate),
                Account.of_management("key", identity.key_id, of_key),
            ]
        return cls(tuple(one for one in accounts if one.requests_per_second != UNLIMITED))

    @classmethod
    def _of(cls, *accounts: Account | None, weight: float = 1.0, key_id: str | None = None) -> Self:
        return cls(tuple(one for one in accounts if one is not None), weight, key_id)


NO_ALLOWANCE: Final = Allowance()
"""The allowance of a caller without limits."""
