"""The values that travel the serving path: what comes in, what waits, what goes out."""

import asyncio
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from prefixes import PrefixRef, PrefixSpec
from prefixes.backbone import EncodedText
from prefixes.spec import Fields
from server.engine.residents import Lease


@dataclass(frozen=True, slots=True)
class ClassifyInput:
    """One text or pair of a request, and the prefix that its sender asked for."""

    ref: PrefixRef
    fields: Fields


@dataclass(frozen=True, slots=True)
class Timings:
    """Where a request's time went, in seconds."""

    queue_seconds: float
    device_seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """A text's float32 logits `[labels]`, as the device gave them."""

    logits: NDArray[np.float32]
    timings: Timings


@dataclass(frozen=True, slots=True, eq=False)
class Classified:
    """The answer to one input: the version that served it, its description, and its logits."""

    version: PrefixRef
    digest: str
    spec: PrefixSpec
    num_tokens: int
    is_truncated: bool
    logits: NDArray[np.float32]
    timings: Timings


@dataclass(slots=True, eq=False)
class Work:
    """One text that waits for the device, carrying its own reply and its hold on its prefix.

    `deadline` and `enqueued_at` are times of the event loop's clock, in seconds.
    """

    lease: Lease
    text: EncodedText
    deadline: float
    enqueued_at: float
    reply: asyncio.Future[Outcome] = field(default_factory=asyncio.Future)

    @property
    def num_tokens(self) -> int:
        return len(self.text.token_ids)

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
