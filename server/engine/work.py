"""The values that travel the serving path: what comes in, what waits, what goes out."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from prefixes import PrefixRef, PrefixSpec
from prefixes.encoded import EncodedInput, EncodedText
from prefixes.template import CHOICES, Fields
from server.engine.leases import Lease


@dataclass(frozen=True, slots=True)
class TaskInput:
    """One input of a request, and the prefix that its sender asked for."""

    ref: PrefixRef
    fields: Fields


@dataclass(frozen=True, slots=True)
class Timings:
    """Where a request's time went, in seconds."""

    queue_seconds: float
    device_seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """A text's float32 outputs as the device gave them: `[outputs]`, or `[S, outputs]` where the
    task looks at each of its S tokens.
    """

    outputs: NDArray[np.float32]
    timings: Timings


@dataclass(frozen=True, slots=True, eq=False)
class Inferred:
    """What the device made of one input: the outputs of each text that was run for it.

    One text; or one for each choice, or for each window of a long context. `version` served it.
    """

    version: PrefixRef
    digest: str
    spec: PrefixSpec
    fields: Fields
    texts: EncodedInput
    outputs: tuple[NDArray[np.float32], ...]
    timings: Timings

    @property
    def num_tokens(self) -> int:
        return sum(len(text.token_ids) for text in self.texts)

    @property
    def is_truncated(self) -> bool:
        return any(text.is_truncated for text in self.texts)

    @property
    def sliced_text(self) -> str:
        """The text of the sender that answers point into; empty for tasks without such."""
        name = self.spec.sliced_field
        return "" if name is None else str(self._named_fields[name])

    @property
    def choices(self) -> Sequence[str]:
        """The choices of a multiple choice, as the sender wrote them."""
        return self._named_fields[CHOICES]

    @property
    def _named_fields(self) -> Mapping[str, str | Sequence[str]]:
        if isinstance(self.fields, tuple):
            return dict(zip(self.spec.input.fields, self.fields, strict=True))
        return self.fields


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
