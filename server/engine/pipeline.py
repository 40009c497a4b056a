"""Pipeline: from prefixes that were resolved, and texts for them, to the device's outcomes."""

import asyncio
import time
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol, TypeVar

from prefixes import PrefixSpec
from prefixes.encoded import EncodedInput
from prefixes.spec import TaskType
from prefixes.template import InputFields
from server.batching.dispatcher import Dispatcher
from server.batching.timings import Timings
from server.batching.work import Outcome, Work
from server.engine.admission import AdmittedRequest
from server.engine.tokenization import TokenizerPool, Wanted
from server.residency.leases import Lease
from server.residency.residents import ResidentPrefixes

T = TypeVar("T")

Share = tuple[Lease, Sequence[int]]
"""A prefix on the device, and the places in the request of the inputs that ask for it."""


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """The inputs' fields, in the request's order, and what they were admitted as.

    All of their tasks must have the `task_type`, if one is given.
    """

    fields: Sequence[InputFields]
    truncate: bool
    admitted: AdmittedRequest
    task_type: TaskType | None = None


@dataclass(frozen=True, slots=True, eq=False)
class InputOutcome:
    """What became of one input: the texts that were run for it, and the outcome of each."""

    spec: PrefixSpec
    texts: EncodedInput
    outcomes: tuple[Outcome, ...]

    @property
    def timings(self) -> Timings:
        """The times of the text that took longest."""
        return max(
            (one.timings for one in self.outcomes), key=lambda t: t.queue_seconds + t.device_seconds
        )


class TokenizationMetrics(Protocol):
    """What the pipeline reports to the outside."""

    def tokenized(self, seconds: float, tokens: int, unknown: int) -> None: ...


class Pipeline:
    """Leases, tokenizes, queues and awaits. Belongs to the event loop."""

    def __init__(
        self,
        residents: ResidentPrefixes,
        dispatcher: Dispatcher,
        tokenizers: TokenizerPool,
        metrics: TokenizationMetrics,
    ) -> None:
        self._residents = residents
        self._dispatcher = dispatcher
        self._tokenizers = tokenizers
        self._metrics = metrics

    async def answer_all(
        self, request: Request, places: Mapping[str, Sequence[int]]
    ) -> dict[int, InputOutcome]:
        """Answer a request's inputs, given the places of those that ask for each digest.

        What is on the device goes into one batch together. A prefix that must be loaded delays
        its own inputs only, and none is held while another is waited for, so that requests for
        more prefixes than fit at once cannot block each other.
        """
        resident: list[Share] = []
        jobs = []
        with ExitStack() as held:
            for digest, its_places in places.items():
                lease = self._residents.lease_resident(digest)
                if lease is None:
                    jobs.append(self._load_and_answer(request, digest, its_places))
                else:
                    held.callback(lease.release)  # in case its job never gets to run
                    resident.append((lease, its_places))
            if resident:
                jobs.append(self.answer(request, resident))
            parts = await _all(jobs)
        return {place: answer for part in parts for place, answer in part.items()}

    async def _load_and_answer(
        self, request: Request, digest: str, places: Sequence[int]
    ) -> dict[int, InputOutcome]:
        lease = await self._residents.lease(digest)
        return await self.answer(request, [(lease, places)])

    async def answer(self, request: Request, shares: Sequence[Share]) -> dict[int, InputOutcome]:
        """Tokenize, queue and await the inputs of prefixes on the device; gives the leases back."""
        try:
            texts = await self._tokenize(request, shares)
            request.admitted.grow(sum(len(its_texts) - 1 for its_texts in texts.values()))
            now = time.perf_counter()
            works = {
                place: [
                    Work(lease.share(), text, request.admitted.deadline, now)
                    for text in texts[place]
                ]
                for lease, places in shares
                for place in places
            }
        finally:
            for lease, _ in shares:
                lease.release()
        submitted = [work for its_works in works.values() for work in its_works]
        self._dispatcher.submit(submitted)
        try:
            await asyncio.gather(*(work.reply for work in submitted))
        finally:
            for work in submitted:
                work.reply.cancel()  # one failed or the caller has gone: nobody waits for the rest
        return {place: _answer(texts[place], its_works) for place, its_works in works.items()}

    async def _tokenize(self, request: Request, shares: Sequence[Share]) -> dict[int, EncodedInput]:
        started = time.perf_counter()
        tasks = [(lease.resident.spec, places) for lease, places in shares]
        wanted = Wanted(request.fields, tasks, request.truncate, request.task_type)
        texts = await self._tokenizers.encode(wanted)
        ids = [one.token_ids for parts in texts.values() for one in parts]
        unknown = self._tokenizers.unknown_token
        num_unknown = 0 if unknown is None else sum(some.count(unknown) for some in ids)
        self._metrics.tokenized(time.perf_counter() - started, sum(map(len, ids)), num_unknown)
        return texts


def _answer(texts: EncodedInput, works: Sequence[Work]) -> InputOutcome:
    outcomes = tuple(work.reply.result() for work in works)
    return InputOutcome(works[0].lease.resident.spec, texts, outcomes)


async def _all(jobs: Sequence[Coroutine[None, None, T]]) -> list[T]:
    """Run jobs side by side; at the first failure stop the others and raise it."""
    if len(jobs) == 1:
        return [await jobs[0]]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(job) for job in jobs]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
