"""Pipeline: runs the inputs of admitted requests through tokenizer, queue and device."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Protocol, Self, TypeVar

from prefixes import PrefixSpec
from prefixes.backbone import EncodeJob
from prefixes.encoded import EncodedInput
from prefixes.errors import InputRejected
from prefixes.registry import PrefixVersion
from prefixes.template import InputFields
from server.batching.dispatcher import Dispatcher
from server.batching.timings import Timings
from server.batching.work import Outcome, Work
from server.engine.admission import AdmittedRequest
from server.engine.tokenization import JobResult, TokenizerPool
from server.engine.values import InferenceResult
from server.residency.leases import Lease
from server.residency.residents import ResidentPrefixes

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class LeasedJob:
    """A request's inputs for one prefix, with a lease of it and the inputs' places in the request.

    `encode_job.inputs` has the same order as `places`.
    """

    lease: Lease
    places: Sequence[int]
    encode_job: EncodeJob

    @classmethod
    def of(
        cls, lease: Lease, places: Sequence[int], *, fields: Sequence[InputFields], truncate: bool
    ) -> Self:
        """Select the inputs at `places` from the fields of all inputs of a request."""
        inputs = [fields[place] for place in places]
        return cls(lease, places, EncodeJob(lease.resident.spec, inputs, truncate=truncate))


@dataclass(frozen=True, slots=True, eq=False)
class InputOutcome:
    """The texts that one input became, and the outcome of each."""

    spec: PrefixSpec
    texts: EncodedInput
    outcomes: tuple[Outcome, ...]

    def result(self, version: PrefixVersion, fields: InputFields) -> InferenceResult:
        """Return the result of the input, which a version answered."""
        return InferenceResult(
            version=version.ref,
            digest=version.digest,
            spec=self.spec,
            fields=fields,
            texts=self.texts,
            outputs=tuple(one.outputs for one in self.outcomes),
            timings=self.timings,
        )

    @property
    def timings(self) -> Timings:
        """The times of the text that took longest."""
        return max(
            (one.timings for one in self.outcomes), key=lambda t: t.queue_seconds + t.device_seconds
        )


class TokenizationMetrics(Protocol):
    """Metrics that the pipeline reports."""

    def tokenized(self, seconds: float, tokens: int, unknown: int) -> None: ...


class Pipeline:
    """Leases prefixes, tokenizes, queues, and awaits the outcomes. Belongs to the event loop."""

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

    async def run(
        self,
        admitted: AdmittedRequest,
        fields: Sequence[InputFields],
        places: Mapping[str, Sequence[int]],
        *,
        truncate: bool,
    ) -> dict[int, InputOutcome]:
        """Run the inputs of a request, and return their outcomes by place.

        Inputs whose prefixes are resident go into one batch together. A prefix that must be
        loaded delays its own inputs only. No lease is held while another prefix is loaded, so
        requests for more prefixes than fit at once cannot deadlock.

        Args:
            admitted: the request.
            fields: the fields of all its inputs.
            places: the places of the inputs for each digest.
            truncate: cut texts that are too long instead of rejecting them.
        """
        job_of = partial(LeasedJob.of, fields=fields, truncate=truncate)
        resident: list[LeasedJob] = []
        runs = []
        with ExitStack() as leases:
            for digest, its_places in places.items():
                lease = self._residents.lease_resident(digest)
                if lease is None:
                    runs.append(
                        self._load_and_run(admitted, digest, partial(job_of, places=its_places))
                    )
                else:
                    leases.callback(lease.release)  # in case its run never starts
                    resident.append(job_of(lease, its_places))
            if resident:
                runs.append(self.run_leased(admitted, resident))
            outcomes = await _gather(runs)
        return {place: outcome for part in outcomes for place, outcome in part.items()}

    async def _load_and_run(
        self, admitted: AdmittedRequest, digest: str, job_of: Callable[[Lease], LeasedJob]
    ) -> dict[int, InputOutcome]:
        lease = await self._residents.lease(digest)
        return await self.run_leased(admitted, [job_of(lease)])

    async def run_leased(
        self, admitted: AdmittedRequest, jobs: Sequence[LeasedJob]
    ) -> dict[int, InputOutcome]:
        """Run jobs in one batch if it has room for them, and release their leases."""
        try:
            texts = await self._tokenize(admitted, jobs)
            admitted.grow(sum(len(its_texts) - 1 for its_texts in texts.values()))
            works = _works(admitted, jobs, texts)
        finally:
            for job in jobs:
                job.lease.release()
        submitted = [work for its_works in works.values() for work in its_works]
        self._dispatcher.submit(submitted)
        try:
            await asyncio.gather(*(work.reply for work in submitted))
        finally:
            for work in submitted:
                work.reply.cancel()  # one failed or the caller was cancelled: drop the others
        return {place: _outcome(texts[place], its_works) for place, its_works in works.items()}

    async def _tokenize(
        self, admitted: AdmittedRequest, jobs: Sequence[LeasedJob]
    ) -> dict[int, EncodedInput]:
        started = time.perf_counter()
        results = await self._tokenizers.encode(
            [job.encode_job for job in jobs], tenant=admitted.tenant
        )
        texts = _by_place(jobs, results, admitted.num_inputs)
        ids = [one.token_ids for its_texts in texts.values() for one in its_texts]
        unknown = self._tokenizers.unknown_token
        num_unknown = 0 if unknown is None else sum(some.count(unknown) for some in ids)
        num_tokens = sum(map(len, ids))
        admitted.charge.note_tokens(num_tokens)
        self._metrics.tokenized(time.perf_counter() - started, num_tokens, num_unknown)
        return texts


def _by_place(
    jobs: Sequence[LeasedJob], results: Sequence[JobResult], num_inputs: int
) -> dict[int, EncodedInput]:
    """Map each place to its encoded input; raise the first InputRejected."""
    texts: dict[int, EncodedInput] = {}
    for job, result in zip(jobs, results, strict=True):
        if isinstance(result, InputRejected):
            raise _with_place(result, job.places, num_inputs)
        texts.update(zip(job.places, result, strict=True))
    return texts


def _with_place(error: InputRejected, places: Sequence[int], num_inputs: int) -> InputRejected:
    """Prefix the message with the input's place, if the request has several inputs."""
    if num_inputs == 1 or error.index is None:
        return error
    return type(error)(f"input[{places[error.index]}]: {error}")


def _works(
    admitted: AdmittedRequest, jobs: Sequence[LeasedJob], texts: Mapping[int, EncodedInput]
) -> dict[int, list[Work]]:
    """Create a work with its own lease for each text, and return them by the input's place."""
    now = time.perf_counter()
    weight = admitted.charge.allowance.weight
    return {
        place: [
            Work(
                job.lease.share(),
                text,
                admitted.deadline,
                now,
                admitted.tenant,
                weight,
                admitted.account_of(place),
            )
            for text in texts[place]
        ]
        for job in jobs
        for place in job.places
    }


def _outcome(texts: EncodedInput, works: Sequence[Work]) -> InputOutcome:
    outcomes = tuple(work.reply.result() for work in works)
    return InputOutcome(works[0].lease.resident.spec, texts, outcomes)


async def _gather(runs: Sequence[Coroutine[None, None, T]]) -> list[T]:
    """Run coroutines concurrently; at the first failure cancel the others and raise it."""
    if len(runs) == 1:
        return [await runs[0]]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run) for run in runs]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
