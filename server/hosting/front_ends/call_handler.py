"""CallHandler: answers one front end's questions in the engine's process."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from prefixes import PrefixSpec
from prefixes.errors import PrefixError
from server.api.deps import Classifier
from server.engine.values import InferenceResult
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
"""What the specs that a front end keeps may take, roughly; beyond it, it begins anew."""

_BYTES_OF_A_SPEC: Final = 2048
"""Without its labels, which alone have no small bound."""

_log = logging.getLogger(__name__)


class CallHandler:
    """Serves a channel until the front end is gone. Belongs to the engine's event loop."""

    def __init__(self, channel: Channel, engine: Classifier, metrics: RequestMetrics) -> None:
        self._channel = channel
        self._engine = engine
        self._metrics = metrics
        self._asked: dict[int, asyncio.Task[None]] = {}
        self._carried: set[str] = set()
        self._carried_bytes = 0

    async def serve(self) -> None:
        """Answer until the other end is gone; then cancel what it no longer waits for."""
        try:
            while True:
                self._take(await self._channel.receive())
        except EOFError:
            pass
        finally:
            for task in self._asked.values():
                task.cancel()
            self._channel.close()

    def _take(self, message: Call | Cancel | CompletedRequest) -> None:
        match message:
            case CompletedRequest(route, status, seconds):
                self._metrics.request_done(route, status, seconds)
            case Cancel(number):
                if number in self._asked:
                    self._asked[number].cancel()
            case Call(number):
                task = self._asked[number] = asyncio.create_task(self._answer(message))
                task.add_done_callback(lambda _: self._asked.pop(number))

    async def _answer(self, ask: Call) -> None:
        try:
            self._channel.send(Reply(ask.number, await self._value(ask)))
        except (PrefixError, ServingError) as error:
            self._channel.send(Failure.of(ask.number, error))
        except Exception as error:  # noqa: BLE001 - a bug: the front end answers it as every other one
            _log.exception("a front end's question failed unexpectedly: %s", ask.method)
            self._forget_carried()  # who knows what of them has arrived
            self._channel.send(Failure.of(ask.number, RuntimeError(repr(error))))

    async def _value(self, ask: Call) -> Any:
        arguments: Mapping[str, Any] = ask.arguments
        match ask.method:
            case "infer":
                return self._rows(await self._engine.infer(**arguments))
            case "replay":
                return await self._engine.replay(**arguments)
            case "find_problem":
                return await self._engine.find_problem()
            case "exposition":
                return await self._metrics.exposition()

    def _rows(self, answers: Sequence[InferenceResult]) -> CompactResults:
        """Note which specs the front end gets; nothing may be awaited between this and sending."""
        is_fresh = self._carried_bytes >= _MAX_SPEC_BYTES
        if is_fresh:
            self._forget_carried()
        specs: dict[str, PrefixSpec] = {
            one.digest: one.spec for one in answers if one.digest not in self._carried
        }
        self._carried.update(specs)
        self._carried_bytes += sum(map(_num_bytes, specs.values()))
        return CompactResults([CompactResult.of(one) for one in answers], specs, is_fresh)

    def _forget_carried(self) -> None:
        self._carried.clear()
        self._carried_bytes = 0


def _num_bytes(spec: PrefixSpec) -> int:
    return _BYTES_OF_A_SPEC + sum(map(len, spec.labels))
