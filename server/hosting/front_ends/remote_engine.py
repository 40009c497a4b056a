"""RemoteEngine: the engine for a front end, at the other end of a channel."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Unpack

from prefixes import Finding, Prefix, PrefixSpec
from server.engine.canaries.counts import CanaryCounts
from server.engine.values import InferenceOptions, InferenceResponse, TaskInput
from server.errors import EngineUnavailable
from server.hosting.front_ends.channel import Channel
from server.hosting.front_ends.messages import (
    Call,
    Cancel,
    CompactResult,
    CompactResults,
    CompletedRequest,
    DrainNotice,
    Failure,
    Method,
    Reply,
)
from server.limits.allowance import Allowance
from server.rates import RateState
from server.shutdown import Shutdown


@dataclass(frozen=True, slots=True, eq=False)
class _Answer:
    """The results of `infer`, each with its spec. They have no inputs yet."""

    results: Sequence[tuple[CompactResult, PrefixSpec]]
    rates: tuple[RateState, ...]


class RemoteEngine:
    """Answers as `Engine` and `Metrics` of the engine's process do, by calling them.

    Belongs to the event loop on which its channel is `connected`. `shutdown` begins when the
    engine's process begins to drain.
    """

    def __init__(self, shutdown: Shutdown) -> None:
        self._shutdown = shutdown
        self._channel: Channel | None = None
        self._numbers = itertools.count()
        self._replies: dict[int, asyncio.Future[Any]] = {}
        self._specs: dict[str, PrefixSpec] = {}

    @asynccontextmanager
    async def connected(self, channel: Channel) -> AsyncIterator[asyncio.Task[None]]:
        """Use a channel for as long as the block lasts.

        Yields the task that receives its messages, which ends when the engine's process exits.
        """
        self._channel = channel
        listening = asyncio.create_task(self._listen(channel))
        try:
            yield listening
        finally:
            self._channel = None
            listening.cancel()
            channel.close()

    async def infer(
        self, inputs: Sequence[TaskInput], **options: Unpack[InferenceOptions]
    ) -> InferenceResponse:
        """Call `Engine.infer`."""
        answer: _Answer = await self._call("infer", inputs=inputs, **options)
        results = [
            result.completed(item, spec)
            for item, (result, spec) in zip(inputs, answer.results, strict=True)
        ]
        return InferenceResponse(results, answer.rates)

    async def admit_management(self, allowance: Allowance) -> tuple[RateState, ...]:
        """Call `Engine.admit_management`."""
        rates: tuple[RateState, ...] = await self._call("admit_management", allowance=allowance)
        return rates

    async def write_answers(self) -> None:
        """Call `Engine.write_answers`."""
        await self._call("write_answers")

    async def canary_counts(self, tenant: str, task: str, alias: str) -> CanaryCounts:
        """Call `Engine.canary_counts`."""
        counts: CanaryCounts = await self._call(
            "canary_counts", tenant=tenant, task=task, alias=alias
        )
        return counts

    async def replay(self, prefix: Prefix, digest: str) -> tuple[Finding, ...]:
        """Call `Engine.replay`."""
        findings: tuple[Finding, ...] = await self._call("replay", prefix=prefix, digest=digest)
        return findings

    async def find_problem(self) -> str | None:
        """Return why the engine rejects work, None if it does not. See `Engine.problem`."""
        problem: str | None = await self._call("find_problem")
        return problem

    async def find_failure(self) -> str | None:
        """Return why only a restart helps. See `Engine.find_failure`."""
        failure: str | None = await self._call("find_failure")
        return failure

    async def exposition(self) -> bytes:
        """Export the metrics of the engine and of all front ends."""
        text: bytes = await self._call("exposition")
        return text

    def request_done(
        self, route: str, status: int, seconds: float, tenant: str | None = None
    ) -> None:
        """Send a response to the metrics."""
        if self._channel is not None:
            self._channel.send(CompletedRequest(route, status, seconds, tenant))

    async def _call(self, method: Method, **arguments: Any) -> Any:
        if self._channel is None:
            raise EngineUnavailable("The engine's process has exited. Retry later.")
        number = next(self._numbers)
        reply = self._replies[number] = asyncio.get_running_loop().create_future()
        try:
            self._channel.send(Call(number, method, arguments))
            return await reply
        except asyncio.CancelledError:
            if self._channel is not None:
                self._channel.send(Cancel(number))
            raise
        finally:
            del self._replies[number]

    async def _listen(self, channel: Channel) -> None:
        try:
            while True:
                message = await channel.receive()
                if isinstance(message, DrainNotice):
                    await self._shutdown.begin()
                else:
                    self._resolve(message)
        except EOFError:
            self._channel = None
        finally:
            for reply in self._replies.values():
                if not reply.done():
                    reply.set_exception(
                        EngineUnavailable(
                            "The engine's process exited before it answered. Retry later."
                        )
                    )

    def _resolve(self, message: Reply | Failure) -> None:
        value = None
        if isinstance(message, Reply):
            # Also if the caller is gone: later results refer to these specs.
            has_specs = isinstance(message.value, CompactResults)
            value = self._with_specs(message.value) if has_specs else message.value
        reply = self._replies.get(message.number)
        if reply is None or reply.done():
            return
        if isinstance(message, Failure):
            reply.set_exception(message.error())
        else:
            reply.set_result(value)

    def _with_specs(self, message: CompactResults) -> _Answer:
        if message.is_fresh:
            self._specs.clear()
        self._specs.update(message.specs)
        results = [(result, self._specs[result.digest]) for result in message.results]
        return _Answer(results, message.rates)
