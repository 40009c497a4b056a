"""What waits for the device and what it gives: the values inside the engine."""

import asyncio
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from prefixes.encoded import EncodedText
from server.batching.timings import Timings
from server.residency.leases import Lease


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """A text's float32 outputs as the device gave them: `[outputs]`, or `[S, outputs]` where the
    task looks at each of its S tokens.
    """

    outputs: NDArray[np.float32]
    timings: Timings


@dataclass(slots=True, eq=False)
class Work:
    """One text that waits for the device, carrying its own reply and its hold on its prefix.

    `deadline` is a time of the event loop's clock, `enqueued_at` of `time.perf_counter`: uvloop's
    clock counts whole milliseconds. Both are in seconds.
    """

    lease: Lease
    text: EncodedText
    deadline: float
    enqueued_at: float
    reply: asyncio.Future[Outcome] = field(default_factory=asyncio.Future)

    @property
    def num_tokens(self) -> int:
        prompt = self.lease.resident.prompt
        return len(self.text.token_ids) + (0 if prompt is None else len(prompt))

    @property
    def is_wanted(self) -> bool:
        """Say whether anyone still waits for the reply."""
        return not self.reply.done()

    def settle(self, result: Outcome | Exception) -> None:
        """Answer, unless the sender has gone, and let go of the prefix."""
        if self.is_wanted:
            if isinstance(result, Exception):
                self.reply.set_exception(result)
            else:
                self.reply.set_result(result)
        self.lease.release()
