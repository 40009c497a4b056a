"""TokenizerPool: tokenizes the texts of many requests at once, on threads of its own.

A round trip to a thread takes longer than tokenizing a short text. Requests that arrive while the
thread is busy are therefore collected and tokenized together, in one call of the tokenizer.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from prefixes.backbone import EncodeJob, TextEncoder
from prefixes.encoded import EncodedInput
from prefixes.errors import InputRejected
from prefixes.template import InputFields, TokenIds
from server.errors import EngineUnavailable, InferenceFailed

_log = logging.getLogger(__name__)

_SHORT: Final = 4_000
"""Requests with fewer characters are tokenized together. This many take about a millisecond."""

_MAX_TOGETHER: Final = 64
"""Maximum number of requests in one call, so that the first does not wait long for the last."""

_NUM_LONG: Final = 2

JobResult = list[EncodedInput] | InputRejected
"""The encoded inputs of an `EncodeJob`, or what is wrong with the first bad one."""


@dataclass(frozen=True, slots=True, eq=False)
class _WaitingRequest:
    jobs: Sequence[EncodeJob]
    reply: asyncio.Future[list[JobResult]] = field(default_factory=asyncio.Future)

    def settle(self, result: list[JobResult] | Exception) -> None:
        if self.reply.done():
            return  # the caller was cancelled
        if isinstance(result, Exception):
            self.reply.set_exception(result)
        else:
            self.reply.set_result(result)


class TokenizerPool:
    """Tokenizes short requests together and long ones in parallel. Belongs to the event loop."""

    def __init__(self, texts: TextEncoder) -> None:
        self._texts = texts
        self._short = ThreadPoolExecutor(1, thread_name_prefix="tokenize")
        # Threads of their own: a request of megabytes must not delay short ones.
        self._long = ThreadPoolExecutor(_NUM_LONG, thread_name_prefix="tokenize-long")
        self._waiting: list[_WaitingRequest] = []
        self._is_busy = False

    @property
    def unknown_token(self) -> int | None:
        """The id of the unknown token; None when the vocabulary covers every text."""
        return self._texts.unknown_token

    def close(self) -> None:
        """Stop the threads and fail the requests that still wait."""
        for threads in (self._short, self._long):
            threads.shutdown(wait=False, cancel_futures=True)

    async def encode(self, jobs: Sequence[EncodeJob]) -> list[JobResult]:
        """Encode the inputs of one request, and return the result of each job."""
        if _num_characters(jobs, at_most=_SHORT) >= _SHORT:
            loop = asyncio.get_running_loop()
            result = await loop.run_in_executor(self._long, _encode_alone, self._texts, jobs)
            if isinstance(result, Exception):
                raise result
            return result
        waiting = _WaitingRequest(jobs)
        self._waiting.append(waiting)
        if not self._is_busy:
            self._is_busy = True
            # Deferred, so that requests which arrive in the same loop iteration go together.
            asyncio.get_running_loop().call_soon(self._start)
        return await waiting.reply

    def _start(self) -> None:
        waiting = [request for request in self._waiting if not request.reply.done()]
        together, self._waiting = waiting[:_MAX_TOGETHER], waiting[_MAX_TOGETHER:]
        self._is_busy = bool(together)
        if not together:
            return
        try:
            encoding = asyncio.get_running_loop().run_in_executor(
                self._short, _encode_together, self._texts, [request.jobs for request in together]
            )
        except RuntimeError:  # the threads were shut down
            self._is_busy = False
            _reject(together)
        else:
            encoding.add_done_callback(partial(self._finish, together))

    def _finish(
        self,
        together: Sequence[_WaitingRequest],
        encoding: asyncio.Future[list[list[JobResult] | Exception]],
    ) -> None:
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
            count += _size(fields)
            if count >= at_most:
                return count
    return count


def _size(fields: InputFields) -> int:
    if isinstance(fields, TokenIds):
        return len(fields.ids)
    values = fields.values() if isinstance(fields, Mapping) else fields
    return sum(len(one) if isinstance(one, str) else sum(map(len, one)) for one in values)


def _encode_together(
    texts: TextEncoder, requests: Sequence[Sequence[EncodeJob]]
) -> list[list[JobResult] | Exception]:
    """Encode requests with one call of the tokenizer; if it fails, encode each alone."""
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
