"""Pipeline: runs the inputs of admitted requests through tokenizer, queue and device."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import chain
from typing import Protocol

from prefixes.encoded import EncodedInput
from prefixes.errors import InputRejected
from prefixes.occlusion import OcclusionOptions
from prefixes.template import InputFields
from server.batching.dispatcher import Dispatcher
from server.batching.work import Work
from server.engine.admission import AdmittedRequest
from server.engine.gathering import gather
from server.engine.input_outcome import InputOutcome
from server.engine.leased_job import LeasedJob
from server.engine.resolution import InputGroup
from server.engine.tokenization import JobResult, TokenizerPool
from server.residency.leases import Lease
from server.residency.residents import ResidentPrefixes


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
        places: Mapping[InputGroup, Sequence[int]],
        *,
        explain: OcclusionOptions | None = None,
    ) -> dict[int, InputOutcome]:
        """Run the inputs of a request, and return their outcomes by place.

        Inputs whose prefixes are resident go into one batch together. A prefix that must be
        loaded delays its own inputs only. No lease is held while another prefix is loaded, so
        requests for more prefixes than fit at once cannot deadlock.

        Args:
            admitted: the request.
            fields: the fields of all its inputs.
            places: the places of the inputs of each group.
            explain: run classified inputs without each of their parts, too; None for no input.
        """
        job_of = partial(LeasedJob.of, fields=fields, explain=explain)
        resident: list[LeasedJob] = []
        runs = []
        with ExitStack() as leases:
            for (digest, lengths), some in places.items():
                lease = self._residents.lease_resident(digest)
                its_job = partial(job_of, places=some, lengths=lengths)
                if lease is None:
                    runs.append(self._load_and_run(admitted, digest, its_job))
                else:
                    leases.callback(lease.release)  # in case its run never starts
                    resident.append(its_job(lease))
            if resident:
                runs.append(self.run_leased(admitted, resident))
            outcomes = await gather(runs)
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
        started = time.perf_counter()
        try:
            texts = dict(await self._tokenize(admitted, jobs))
            occluded = await self._tokenize_occluded(admitted, jobs, texts)
            works = _works(admitted, jobs, texts, occluded, started)
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
        return {
            place: _outcome(texts[place], its_works, occluded.get(place, ()))
            for place, its_works in works.items()
        }

    async def _tokenize_occluded(
        self,
        admitted: AdmittedRequest,
        jobs: Sequence[LeasedJob],
        texts: Mapping[int, EncodedInput],
    ) -> dict[int, list[EncodedInput]]:
        """Tokenize explained inputs without each of their parts, once there is room for all.

        Returns:
            For each such input, by place, its texts without each part; no texts if the part is
            everything.
        """
        explained = [job for job in jobs if job.encode_job.explain is not None]
        if not explained:
            return {}
        jobs = [job.occluded(texts) for job in explained]
        admitted.grow(sum(len(job.places) for job in jobs))
        encoded = iter(await self._tokenize(admitted, jobs))
        return {
            place: [
                () if part.is_all else next(encoded)[1] for part in texts[place][0].occluded_parts
            ]
            for job in explained
            for place in job.places
        }

    async def _tokenize(
        self, admitted: AdmittedRequest, jobs: Sequence[LeasedJob]
    ) -> list[tuple[int, EncodedInput]]:
        """Tokenize the inputs of jobs, and return the place and the texts of each in order."""
        started = time.perf_counter()
        results = await self._tokenizers.encode(
            [job.encode_job for job in jobs], tenant=admitted.tenant
        )
        texts = _with_places(jobs, results)
        ids = [one.token_ids for _, its_texts in texts for one in its_texts]
        unknown = self._tokenizers.unknown_token
        num_unknown = 0 if unknown is None else sum(some.count(unknown) for some in ids)
        num_tokens = sum(map(len, ids))
        admitted.charge.note_tokens(num_tokens)
        self._metrics.tokenized(time.perf_counter() - started, num_tokens, num_unknown)
        admitted.grow(len(ids) - len(texts))
        return texts


def _with_places(
    jobs: Sequence[LeasedJob], results: Sequence[JobResult]
) -> list[tuple[int, EncodedInput]]:
    """Add the place to each encoded input; raise the first InputRejected."""
    texts: list[tuple[int, EncodedInput]] = []
    for job, result in zip(jobs, results, strict=True):
        if isinstance(result, InputRejected):
            if result.index is not None:
                result.index = job.places[result.index]
            raise result
        texts += zip(job.places, result, strict=True)
    return texts


def _works(
    admitted: AdmittedRequest,
    jobs: Sequence[LeasedJob],
    texts: Mapping[int, EncodedInput],
    occluded: Mapping[int, Sequence[EncodedInput]],
    started: float,
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
                now - started,
            )
            for text in chain(texts[place], *occluded.get(place, ()))
        ]
        for job in jobs
        for place in job.places
    }


def _outcome(
    texts: EncodedInput, works: Sequence[Work], occluded: Sequence[EncodedInput]
) -> InputOutcome:
    outcomes = tuple(work.reply.result() for work in works)
    return InputOutcome(works[0].lease.resident.spec, texts, outcomes, occluded)
