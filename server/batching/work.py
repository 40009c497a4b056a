"""Work and Outcome: a text that waits for the device, and the result of its forward pass."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from prefixes.answers import split_outputs
from prefixes.encoded import EncodedText
from server.batching.timings import Timings
from server.residency.leases import Lease
from server.usage.meter import Account

BACKGROUND: Final = "batch files"
"""The tenant that all works at low priority count for. No tenant can have this name, because of the
space. The device and the tokenizer thus prefer every other tenant that used them less."""


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """A text's float32 outputs and timings.

    The shape is `[outputs]`, or `[S, outputs]` for tasks that classify each of the S tokens. Tasks
    whose rejection rule has vectors also have projected features `[r]`.
    """

    outputs: NDArray[np.float32]
    timings: Timings
    projected: NDArray[np.float32] | None = None


@dataclass(slots=True, eq=False)
class Work:
    """One text that waits for the device, with its own reply and a lease of its prefix.

    `tenant` is the caller's, None for anonymous callers. `weight` is the tenant's share of the
    device, compared with other tenants. `account` counts what the work uses, None for the server's
    own works. Times are in seconds. `deadline` is of the event loop's clock. `enqueued_at` is of
    `time.perf_counter`, because the clock of uvloop has a resolution of one millisecond.
    `tokenize_seconds` is how long its request was tokenized before that.
    """

    lease: Lease
    text: EncodedText
    deadline: float
    enqueued_at: float
    tenant: str | None = None
    weight: float = 1.0
    account: Account | None = None
    tokenize_seconds: float = 0.0
    reply: asyncio.Future[Outcome] = field(default_factory=asyncio.Future)

    @property
    def num_tokens(self) -> int:
        prompt = self.lease.resident.prompt
        return len(self.text.token_ids) + (0 if prompt is None else len(prompt))

    @property
    def cost(self) -> float:
        """The amount that the work adds to the counter of its tenant."""
        return self.num_tokens / self.weight

    @property
    def is_wanted(self) -> bool:
        """Whether a caller still waits for the reply."""
        return not self.reply.done()

    def outcome(self, outputs: NDArray[np.float32], timings: Timings) -> Outcome:
        """Return the outcome for all outputs that the device computed."""
        count = self.lease.resident.head.num_projected
        values, projected = split_outputs(outputs, count)
        return Outcome(values, timings, projected)

    def charge(self, device_seconds: float) -> None:
        """Count the text and its share of the time of its batch."""
        if self.account is not None:
            self.account.add_text(len(self.text.token_ids), device_seconds)

    def settle(self, result: Outcome | Exception) -> None:
        """Set the reply, unless the caller was cancelled, and release the lease."""
        if self.is_wanted:
            if isinstance(result, Exception):
                self.reply.set_exception(result)
            else:
                self.reply.set_result(result)
        self.lease.release()
