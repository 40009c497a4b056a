"""Ledger: what one account has used of its limits."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from prefixes.limits import UNLIMITED
from server.errors import LimitExceeded, TooManyInputs
from server.limits.allowance import Account
from server.limits.buckets import TokenBucket
from server.rates import RateState

_RETRY_SECONDS: Final = 1
"""Wait for a limit on texts in flight: nobody knows when they are answered."""


class Ledger:
    """The buckets of an account, and its number of texts in flight.

    One of several servers that share the requests allows its share of each limit. Messages and
    rates describe the whole limit.
    """

    __slots__ = ("_account", "_num_texts", "_requests", "_share", "_tokens")

    def __init__(self) -> None:
        self._account: Account | None = None
        self._share = 1.0
        self._requests: TokenBucket | None = None
        self._tokens: TokenBucket | None = None
        self._num_texts = 0

    def update(self, account: Account, now: float, share: float = 1.0) -> None:
        """Use the limits that the account has now. They come with each request."""
        if account != self._account or share != self._share:
            self._account = account
            self._share = share
            self._requests = _with_rate(self._requests, share * account.requests_per_second, now)
            self._tokens = _with_rate(self._tokens, share * account.tokens_per_second, now)

    def check(self, num_texts: int, num_tokens: int, now: float) -> None:
        """Check whether a request may be admitted now.

        Raises:
            LimitExceeded: when it may be admitted later.
            TooManyInputs: when it has more texts than may ever be in flight.
        """
        waits = {
            name: bucket.seconds_until(amount, now)
            for name, bucket, amount in (
                ("requests_per_second", self._requests, 1),
                ("tokens_per_second", self._tokens, num_tokens),
            )
            if bucket is not None
        }
        name = max(waits, key=lambda each: waits[each], default="")
        if name and waits[name] > 0:
            raise self._exceeded(name, math.ceil(waits[name]), now)
        self.check_texts(num_texts, now)

    def check_tokens(self, count: int, now: float, *, own: int) -> None:
        """Check whether a request may have so many tokens; `own` of them are charged already.

        Raises: as `check`.
        """
        seconds = 0.0 if self._tokens is None else self._tokens.seconds_until(count, now, own=own)
        if seconds > 0:
            raise self._exceeded("tokens_per_second", math.ceil(seconds), now)

    def check_texts(self, num_more: int, now: float, *, own: int = 0) -> None:
        """Check whether so many more texts may be in flight; `own` are of the same request.

        Raises: as `check`.
        """
        assert self._account is not None, "a request brings its account"
        allowed = self._account.max_in_flight_texts
        if own + num_more > allowed:
            raise TooManyInputs(
                f"The request has {own + num_more} texts, but the limit `max_in_flight_texts` of "
                f"{self._account} is {allowed:.0f}. Send fewer inputs at once, or shorter ones."
            )
        # A request alone may use the whole limit: a share of it could be less than one request.
        has_others = self._num_texts > own
        if has_others and self._num_texts + num_more > self._share * allowed:
            raise self._exceeded("max_in_flight_texts", _RETRY_SECONDS, now)

    def count_texts(self, num_more: int) -> None:
        """Count texts in flight, fewer if the number is negative."""
        self._num_texts += num_more

    def take_requests(self, amount: int) -> None:
        """Count requests, or give them back if the amount is negative."""
        if self._requests is not None:
            self._requests.take(amount)

    def take_tokens(self, amount: float) -> None:
        """Count tokens, or give them back if the amount is negative."""
        if self._tokens is not None:
            self._tokens.take(amount)

    def is_idle(self, now: float) -> bool:
        """Return whether a new ledger would be the same."""
        buckets = (self._requests, self._tokens)
        return self._num_texts == 0 and all(
            bucket is None or bucket.seconds_until_full(now) == 0 for bucket in buckets
        )

    def rates(self, now: float) -> Iterator[RateState]:
        """Describe the limits on rates for the response."""
        assert self._account is not None, "a request brings its account"
        for unit, bucket in (("requests", self._requests), ("tokens", self._tokens)):
            if bucket is not None:
                yield RateState(
                    policy=f"{self._account.kind}-{self._account.scope.replace('_', '-')}{unit}",
                    unit=unit,
                    quota=math.floor(bucket.capacity / self._share),
                    window=math.ceil(bucket.window),
                    remaining=math.floor(bucket.remaining(now) / self._share),
                    reset=math.ceil(bucket.seconds_until_full(now)),
                )

    def _exceeded(self, name: str, seconds: int, now: float) -> LimitExceeded:
        allowed: float = getattr(self._account, name)
        found = f"{self._num_texts} texts are in flight, and " if "texts" in name else ""
        assert self._account is not None, "a request brings its account"
        limit = f"{self._account.scope}{name}"
        advice = "send requests less often" if self._account.scope else "send fewer inputs at once"
        return LimitExceeded(
            f"The limit `{limit}` of {self._account} is exceeded: {found}{allowed:.10g} are "
            f"allowed. Retry after {seconds} seconds, or {advice}.",
            limit=limit,
            retry_after_seconds=seconds,
            rates=tuple(
                replace(rate, reset=seconds) if name == f"{rate.unit}_per_second" else rate
                for rate in self.rates(now)
            ),
        )


def _with_rate(bucket: TokenBucket | None, rate: float, now: float) -> TokenBucket | None:
    if rate == UNLIMITED:
        return None
    if bucket is None:
        return TokenBucket(rate, now)
    bucket.set_rate(rate)
    return bucket
