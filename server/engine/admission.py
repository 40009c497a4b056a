"""Admission control: bounds the in-flight texts, each tenant's share of them, and the time.

It also charges the limits of the tenant and the key.

A tenant with in-flight texts is admitted more only while they are at most three times the free
places. One tenant alone can fill three quarters, and several leave places for the next one. This is
the dynamic threshold of Choudhury and Hahne, "Dynamic Queue Length Thresholds for Shared-Memory
Packet Switches" (1998).

Everything here belongs to the engine's event loop.
"""

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from server.batching.work import BACKGROUND
from server.errors import DeadlineExceeded, Overloaded, TooManyInputs
from server.limits.allowance import NO_ALLOWANCE, Allowance
from server.limits.limiter import Charge, RequestLimiter
from server.usage.meter import Account

_SHARE_OF_FREE: Final = 3
"""Maximum number of a tenant's in-flight texts, as a multiple of the free places."""


class AdmittedRequest:
    """A request in flight, and the number of texts that it counts for until it is answered.

    `tenant` is the caller's, None for anonymous callers. `charge` is what the request costs its
    tenant and key. `deadline` is a time of the event loop's clock, in seconds. `accounts` has the
    usage account of each input; it is empty for the server's own requests.
    """

    def __init__(
        self,
        control: "AdmissionControl",
        charge: Charge,
        num_inputs: int,
        *,
        deadline: float,
        max_texts: int | None,
        tenant: str | None,
    ) -> None:
        self.charge = charge
        self._control = control
        self._max_texts = max_texts
        self.tenant = tenant
        self.accounts: Sequence[Account] = ()
        self.num_texts = num_inputs
        self.deadline = deadline

    def account_of(self, place: int) -> Account | None:
        """Return the account of the input at a place; None if nobody is charged."""
        return self.accounts[place] if self.accounts else None

    def grow(self, num_more: int) -> None:
        """Count further texts: an input becomes one text for each choice or window that it has.

        Each part that an explanation leaves out is one more text.

        A request that was admitted without `max_texts` is counted but never rejected here.

        Raises:
            TooManyInputs: when the request has more texts than one request may have.
            Overloaded: when the further texts exceed the limit on in-flight texts.
            LimitExceeded: when they exceed that of the tenant or the key.
        """
        if self._max_texts is not None and num_more > 0:
            if self.num_texts + num_more > self._max_texts:
                raise TooManyInputs(
                    f"The inputs become {self.num_texts + num_more} texts, because every choice, "
                    "every window of a long text or context and every part that an explanation "
                    f"leaves out counts as one. One request may have at most {self._max_texts} "
                    "texts. Send fewer inputs at once, or shorter ones."
                )
            self._control.check_capacity(num_more, self.tenant, own=self.num_texts)
            self.charge.grow(num_more)
        self.num_texts += num_more
        self._control.count(num_more, self.tenant)


class AdmissionControl:
    """Counts the texts that are admitted and not yet answered."""

    def __init__(self, max_waiting: int, estimate_wait: Callable[[], int]) -> None:
        """Allow `max_waiting` texts; `estimate_wait` returns the seconds after which to retry."""
        self._max_waiting = max_waiting
        self._estimate_wait = estimate_wait
        self.limiter = RequestLimiter()
        self._empty = asyncio.Event()
        self._empty.set()
        self._of_tenants: Counter[str | None] = Counter()
        self._last_request_at = -math.inf
        self.num_waiting = 0

    async def until_empty(self) -> None:
        """Wait until every admitted request is answered."""
        await self._empty.wait()

    def has_been_quiet(self, seconds: float) -> bool:
        """Return whether all texts in this time were at low priority, those in flight included."""
        num_others = self.num_waiting - self._of_tenants[BACKGROUND]
        now = asyncio.get_running_loop().time()
        return num_others == 0 and now - self._last_request_at >= seconds

    def check_capacity(self, num_texts: int, tenant: str | None, *, own: int = 0) -> None:
        """Raise Overloaded when this many further texts exceed a limit.

        Args:
            num_texts: the number of further texts of one request.
            tenant: the tenant that sent it.
            own: the texts of the same request that are admitted already.
        """
        free = self._max_waiting - self.num_waiting - num_texts
        if free < 0:
            raise Overloaded(
                f"{self.num_waiting} texts are in flight, and {num_texts} more would exceed the "
                f"limit of {self._max_waiting}. Retry later, or send fewer texts at once.",
                retry_after_seconds=self._estimate_wait(),
            )
        others = self._of_tenants[tenant] - own  # a request alone may use every place
        if others > 0 and others + own + num_texts > _SHARE_OF_FREE * free:
            raise Overloaded(
                f"{others + own} texts of this tenant are in flight, and {num_texts} more would "
                f"leave {free} free places; a tenant may have at most {_SHARE_OF_FREE} times as "
                "many texts as there are free places. Retry later, or send fewer texts at once.",
                retry_after_seconds=self._estimate_wait(),
            )

    def count(self, num_texts: int, tenant: str | None) -> None:
        """Count further texts, or fewer if the number is negative."""
        self.num_waiting += num_texts
        self._of_tenants[tenant] += num_texts
        if tenant != BACKGROUND:
            self._last_request_at = asyncio.get_running_loop().time()
        if self._of_tenants[tenant] == 0:
            del self._of_tenants[tenant]
        if self.num_waiting == 0:
            self._empty.set()
        else:
            self._empty.clear()

    @asynccontextmanager
    async def admit(
        self,
        num_inputs: int,
        timeout_seconds: float,
        *,
        tenant: str | None = None,
        max_texts: int | None = None,
        allowance: Allowance = NO_ALLOWANCE,
        num_tokens: int = 0,
    ) -> AsyncIterator[AdmittedRequest]:
        """Admit all inputs of a request or none of them; on exit, release all of its texts.

        Args:
            num_inputs: the number of texts that the request has at least.
            timeout_seconds: maximum time of the context's body.
            tenant: the tenant that sends it.
            max_texts: maximum number of texts that it may become; None for any.
            allowance: the limits of the tenant and the key.
            num_tokens: an estimate of its tokens, which count for these limits.

        Raises:
            Overloaded: when the inputs exceed the limit on in-flight texts.
            LimitExceeded: when the inputs exceed a limit of the tenant or of the key.
            TooManyInputs: when the tenant or the key may never have so many texts in flight.
            DeadlineExceeded: when the body of the context takes longer than the timeout.
        """
        self.check_capacity(num_inputs, tenant)
        charge = self.limiter.admit(allowance, num_texts=num_inputs, num_tokens=num_tokens)
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        admitted = AdmittedRequest(
            self, charge, num_inputs, deadline=deadline, max_texts=max_texts, tenant=tenant
        )
        self.count(num_inputs, tenant)
        try:
            async with asyncio.timeout_at(deadline):
                with charge:
                    yield admitted
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"The request was not answered within {timeout_seconds:g} seconds. Send fewer "
                "inputs at once, allow more time, or retry when the server is less busy."
            ) from error
        finally:
            self.count(-admitted.num_texts, tenant)
