"""RequestLimiter: admits requests within the limits of their tenant and their key."""

import time
from collections.abc import Callable, Sequence
from typing import Final, Self

from server.errors import LimitExceeded
from server.limits.allowance import Account, Allowance
from server.limits.ledger import Ledger
from server.rates import RateState

_MIN_LEDGERS: Final = 1024
"""Number of ledgers below which none is removed."""

_Clock = Callable[[], float]


class RequestLimiter:
    """The ledgers of all accounts. Belongs to the event loop of the engine.

    All front ends of a server call one engine, so a limit holds for all of them together. Where
    several limiters share the requests of a tenant, each allows its `share` of every limit.
    """

    def __init__(self, clock: _Clock = time.monotonic) -> None:
        self.share = 1.0
        self._clock = clock
        self._ledgers: dict[tuple[str, str, str | None], Ledger] = {}
        self._max_ledgers = _MIN_LEDGERS

    def admit(self, allowance: Allowance, *, num_texts: int, num_tokens: int) -> "Charge":
        """Admit all texts of a request, or none, and charge what it is expected to cost.

        Args:
            allowance: the limits, which may differ from those of the last request.
            num_texts: the number of texts that it has at least.
            num_tokens: an estimate; `expect_tokens` and `note_tokens` of the charge correct it.

        Raises:
            LimitExceeded: when a limit of the tenant or of the key is exceeded.
            TooManyInputs: when the request can never be admitted.
        """
        if not allowance.accounts:
            return Charge(allowance, (), 0, 0, self._clock)
        now = self._clock()
        ledgers = [self._ledger(account) for account in allowance.accounts]
        for ledger, account in zip(ledgers, allowance.accounts, strict=True):
            ledger.update(account, now, self.share)
            ledger.check(num_texts, num_tokens, now)
        for ledger in ledgers:
            ledger.take_requests(1)
        return Charge(allowance, ledgers, num_texts, num_tokens, self._clock)

    def admit_management(self, allowance: Allowance) -> tuple[RateState, ...]:
        """Admit a request that is not inference, and return what is left of its limits.

        Raises:
            LimitExceeded: when a limit of the tenant or of the key is exceeded.
        """
        with self.admit(allowance, num_texts=0, num_tokens=0) as charge:
            return charge.rates()

    def _ledger(self, account: Account) -> Ledger:
        key = (account.scope, account.kind, account.name)
        found = self._ledgers.get(key)
        if found is None:
            self._remove_idle()
            found = self._ledgers[key] = Ledger()
        return found

    def _remove_idle(self) -> None:
        """Remove the ledgers that say nothing, once there are twice as many as after last time."""
        if len(self._ledgers) < self._max_ledgers:
            return
        now = self._clock()
        self._ledgers = {
            account: ledger for account, ledger in self._ledgers.items() if not ledger.is_idle(now)
        }
        self._max_ledgers = max(_MIN_LEDGERS, 2 * len(self._ledgers))


class Charge:
    """The cost of one admitted request. When this context ends, its texts are not in flight.

    The estimate of its tokens is charged first. Tokens beyond it are charged when they are known,
    and what is left of it is given back at the end.
    """

    __slots__ = ("_charged", "_clock", "_ledgers", "_num_texts", "_used", "allowance")

    def __init__(
        self,
        allowance: Allowance,
        ledgers: Sequence[Ledger],
        num_texts: int,
        num_tokens: int,
        clock: _Clock,
    ) -> None:
        self.allowance = allowance
        self._ledgers = ledgers
        self._clock = clock
        self._num_texts = 0
        self._charged = 0
        self._used = 0
        self._count_texts(num_texts)
        self._take_tokens(num_tokens)

    def grow(self, num_more: int) -> None:
        """Count further texts of the request.

        Raises:
            LimitExceeded, TooManyInputs: as `RequestLimiter.admit`. None was counted.
        """
        if self._ledgers and num_more > 0:
            now = self._clock()
            for ledger in self._ledgers:
                ledger.check_texts(num_more, now, own=self._num_texts)
        self._count_texts(num_more)

    def expect_tokens(self, count: int) -> None:
        """Replace the estimate of the request's tokens by a better one.

        Raises:
            LimitExceeded: when it exceeds a limit. The request is then not counted either.
        """
        now = self._clock()
        try:
            for ledger in self._ledgers:
                ledger.check_tokens(count, now, own=self._charged)
        except LimitExceeded:
            for ledger in self._ledgers:
                ledger.take_requests(-1)
            raise
        self._take_tokens(count - self._charged)

    def note_tokens(self, count: int) -> None:
        """Note tokens that the request really has."""
        self._used += count
        if self._used > self._charged:
            self._take_tokens(self._used - self._charged)

    def rates(self) -> tuple[RateState, ...]:
        """Describe what is left of the limits on rates."""
        if not self._ledgers:
            return ()
        now = self._clock()
        return tuple(state for ledger in self._ledgers for state in ledger.rates(now))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._count_texts(-self._num_texts)
        self._take_tokens(self._used - self._charged)

    def _count_texts(self, num_more: int) -> None:
        self._num_texts += num_more
        for ledger in self._ledgers:
            ledger.count_texts(num_more)

    def _take_tokens(self, amount: int) -> None:
        self._charged += amount
        for ledger in self._ledgers:
            ledger.take_tokens(amount)
