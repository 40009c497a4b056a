"""TokenizerPool: tokenizes the texts of many requests at once, on threads of its own.

A round trip to a thread takes longer than tokenizing a short text. Requests that arrive while the
thread is busy are therefore collected and tokenized together, in one call of the tokenizer. Tenants
take turns in a call, and a call is short, so a flood of one tenant does not delay the others much.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from prefixes.backbone import EncodeJob, TextEncoder
from prefixes.encoded import EncodedInput
from prefixes.errors import InputRejected
from server.engine.text_sizes import num_characters
from server.engine.turns import Turns
from server.errors import EngineUnavailable, InferenceFailed

_log = logging.getLogger(__name__)

_SHORT: Final = 4_000
"""Requests with fewer characters are tokenized together. This many take about a millisecond."""

_MAX_TOGETHER: Final = 64
_MAX_CHARACTERS: Final = 16_000
"""Maximum numbers of requests and of characters in one call. The next call waits for it."""

_NUM_LONG: Final = 2

JobResult = list[EncodedInput] | InputRejected
"""The encoded inputs of an `EncodeJob`, or what is wrong with the first bad one."""


@dataclass(frozen=True, slots=True, eq=False)
class _WaitingRequest:
    jobs: Sequence[EncodeJob]
    num_characters: int
    reply: asyncio.Future[list[JobResult]] = field(default_factory=asyncio.Future)

    @property
    def is_wanted(self) -> bool:
        return not self.reply.done()

    def settle(self, result: list[JobResult] | Exception) -> None:
        if not self.is_wanted:
            return  # the caller was cancelled
        if isinstance(result, Exception):
            self.reply.set_exception(result)
        else:
            self.reply.set_result(result)


class TokenizerPool:
    """Tokenizes short requests together and long ones in parallel. Belongs to the event loop."""

    def __init__(self, texts: TextEncoder) -> None:
        self._texts = texts
        self._short = _Lane(texts, "tokenize", num_threads=1, max_together=_MAX_TOGETHER)
        # Threads of their own: a request of megabytes must not delay short ones.
        self._long = _Lane(texts, "tokenize-long", num_threads=_NUM_LONG, max_together=1)

    @property
    def unknown_token(self) -> int | None:
        """The id of the unknown token; None when the vocabulary covers every text."""
        return self._texts.unknown_token

    def close(self) -> None:
        """Stop the threads and fail the requests that still wait."""
        for lane in (self._short, self._long):
            lane.close()

    async def encode(
        self, jobs: Sequence[EncodeJob], *, tenant: str | None = None
    ) -> list[JobResult]:
        """Encode the inputs of one request, and return the result of each job."""
        num_characters = _num_characters(jobs, at_most=_SHORT)
        waiting = _WaitingRequest(jobs, num_characters)
        lane = self._short if num_characters < _SHORT else self._long
        lane.add(tenant, waiting)
        return await waiting.reply


class _Lane:
    """Threads that encode waiting requests, one call of the tokenizer on each at a time."""

    def __init__(
        self, texts: TextEncoder, name: str, *, num_threads: int, max_together: int
    ) -> None:
        self._encode = partial(_encode_together, texts)
        self._max_together = max_together
        self._threads = ThreadPoolExecutor(num_threads, thread_name_prefix=name)
        self._num_idle = num_threads
        self._waiting: Turns[_WaitingRequest] = Turns()

    def add(self, tenant: str | None, request: _WaitingRequest) -> None:
        self._waiting.add(tenant, request)
        if self._num_idle:
            # Deferred, so that requests which arrive in the same loop iteration go together.
            asyncio.get_running_loop().call_soon(self._start)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _start(self) -> None:
        while self._num_idle and (together := self._take()):
            try:
                encoding = asyncio.get_running_loop().run_in_executor(
                    self._threads, self._encode, [request.jobs for request in together]
                )
            except RuntimeError:  # the threads were shut down
                _reject(together)
            else:
                self._num_idle -= 1
                encoding.add_done_callback(partial(self._finish, together))

    def _take(self) -> list[_WaitingRequest]:
        """Take the requests of the next call. A request above its limits goes alone."""
        together: list[_WaitingRequest] = []
        num_characters = 0
        while self._waiting and len(together) < self._max_together:
            next_size = self._waiting.peek().num_characters
            if together and num_characters + next_size > _MAX_CHARACTERS:
                break
            request = self._waiting.take()
            if request.is_wanted:
                together.append(request)
                num_characters += next_size
        return together

    def _finish(
        self,
        together: Sequence[_WaitingRequest],
        encoding: asyncio.Future[list[list[JobResult] | Exception]],
    ) -> None:
        self._num_idle += 1
        if encoding.cancelled():
            _reject(together)
        else:
            for request, result in zip(together, encoding.result(), strict=True):
                request.settle(result)
        self._start()


def _reject(waiting: Sequence[_WaitingRequest]) -> None:
    for request in waiting:
        request.settle(EngineUnavailable("The server is shutting down. Retry later."))


def _num_characters(jobs: Iterable[EncodeJob], *, at_most: int) -> int:
    """Count the characters of a request, and stop when there are `at_most` or more."""
    count = 0
    for job in jobs:
        for fields in job.inputs:
            count += num_characters(fields)
            if count >= at_most:
                return count
    return count


def _encode_together(
    texts: TextEncoder, requests: Sequence[Sequence[EncodeJob]]
) -> list[list[JobResult] | Exception]:
    """Encode requests with one call of the tokenizer; if it fails, encode each alone."""
    if len(requests) == 1:
        return [_encode_alone(texts, requests[0])]
    try:
        results = iter(texts.encode_together([job for jobs in requests for job in jobs]))
        return [[next(results) for _ in jobs] for jobs in requests]
    except BaseException:  # noqa: BLE001 - whatever fails, the other requests must get answers
        _log.warning(
            "tokenizing %d requests together failed; each is tokenized alone",
            len(requests),
            exc_info=True,
        )
        return [_encode_alone(texts, jobs) for jobs in requests]


def _encode_alone(texts: TextEncoder, jobs: Sequence[EncodeJob]) -> list[JobResult] | Exception:
    try:
        return texts.encode_together(jobs)
    except Exception as error:  # noqa: BLE001 - returned, and raised in the request's own task
        return error
    except BaseException:  # noqa: BLE001 - a panic in the tokenizer's Rust code
        # Only the log gets its message, because it describes the server's code.
        _log.exception("the tokenizer panicked")
        return InferenceFailed("The tokenizer failed on this input.")
