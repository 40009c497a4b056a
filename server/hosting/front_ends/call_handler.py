"""CallHandler: answers the calls of one front end in the engine's process."""

import asyncio
import logging
from typing import Any, Final

from prefixes import PrefixSpec
from prefixes.errors import PrefixError
from server.api.services import InferenceEngine
from server.engine.values import InferenceResponse
from server.errors import ServingError
from server.hosting.front_ends.channel import Channel
from server.hosting.front_ends.messages import (
    Call,
    Cancel,
    CompactResult,
    CompactResults,
    CompletedRequest,
    Failure,
    Reply,
)
from server.observability.metrics import RequestMetrics

_MAX_SPEC_BYTES: Final = 32 * 2**20
"""Approximate limit of the specs that a front end keeps. Then it forgets them and starts over."""

_BYTES_OF_A_SPEC: Final = 2048
"""Estimate for a spec without its labels and vectors, whose number is not bounded."""

_log = logging.getLogger(__name__)


class CallHandler:
    """Serves a channel until the front end exits. Belongs to the engine's event loop."""

    def __init__(self, channel: Channel, engine: InferenceEngine, metrics: RequestMetrics) -> None:
        self._channel = channel
        self._engine = engine
        self._metrics = metrics
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._sent: set[str] = set()
        self._sent_bytes = 0

    async def serve(self) -> None:
        """Answer calls until the channel is closed, then cancel those in flight."""
        try:
            while True:
                self._handle(await self._channel.receive())
        except EOFError:
            pass
        finally:
            for task in self._tasks.values():
                task.cancel()
            self._channel.close()

    def _handle(self, message: Call | Cancel | CompletedRequest) -> None:
        match message:
            case CompletedRequest(route, status, seconds, tenant):
                self._metrics.request_done(route, status, seconds, tenant)
            case Cancel(number):
                if number in self._tasks:
                    self._tasks[number].cancel()
            case Call(number):
                task = self._tasks[number] = asyncio.create_task(self._answer(message))
                task.add_done_callback(lambda _: self._tasks.pop(number))

    async def _answer(self, call: Call) -> None:
        try:
            self._channel.send(Reply(call.number, await self._value(call)))
        except (PrefixError, ServingError) as error:
            self._channel.send(Failure.of(call.number, error))
        except Exception as error:  # noqa: BLE001 - a bug: the front end answers 500
            _log.exception("call of %s failed unexpectedly", call.method)
            self._forget_sent()  # it is unknown which of them arrived
            self._channel.send(Failure.of(call.number, RuntimeError(repr(error))))

    async def _value(self, call: Call) -> Any:
        match call.method:
            case "infer":
                return self._compact(await self._engine.infer(**call.arguments))
            case "exposition":
                return await self._metrics.exposition()
            case method:  # one of the other methods of an `InferenceEngine`
                return await getattr(self._engine, method)(**call.arguments)

    def _compact(self, response: InferenceResponse) -> CompactResults:
        """Add the specs that are new to the front end. Await nothing between this and sending."""
        answers = response.results
        is_fresh = self._sent_bytes >= _MAX_SPEC_BYTES
        if is_fresh:
            self._forget_sent()
        specs: dict[str, PrefixSpec] = {
            one.digest: one.spec for one in answers if one.digest not in self._sent
        }
        self._sent.update(specs)
        self._sent_bytes += sum(map(_num_bytes, specs.values()))
        compact = [CompactResult.of(one) for one in answers]
        return CompactResults(compact, response.rates, specs, is_fresh)

    def _forget_sent(self) -> None:
        self._sent.clear()
        self._sent_bytes = 0


def _num_bytes(spec: PrefixSpec) -> int:
    rule = spec.rejection
    return _BYTES_OF_A_SPEC + sum(map(len, spec.labels)) + (0 if rule is None else rule.num_bytes)
