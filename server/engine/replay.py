"""GoldenReplay: runs a prefix's golden examples, or made-up inputs, like any other request."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from prefixes import Finding, Prefix
from prefixes.backbone import replay_findings
from prefixes.errors import InputRejected
from prefixes.lengths import BEGINNING
from prefixes.made_up import made_up_inputs
from prefixes.template import InputFields
from server.engine.admission import AdmissionControl
from server.engine.input_outcome import InputOutcome
from server.engine.leased_job import LeasedJob
from server.engine.pipeline import Pipeline
from server.errors import InferenceFailed, ResidencyBudgetExceeded
from server.residency.residents import ResidentPrefixes

_TIMEOUT_SECONDS: Final = 60.0
_TENANT: Final = "golden replay"
"""All replays together count as one tenant. No tenant can have this name, because of the space."""
_NUM_MADE_UP: Final = 3


class GoldenReplay:
    """Replays examples in parts of `max_examples`. Belongs to the event loop.

    All examples of a file at once may exceed the limit on in-flight texts. They would then never
    be admitted.
    """

    def __init__(
        self,
        admission: AdmissionControl,
        residents: ResidentPrefixes,
        pipeline: Pipeline,
        precision: torch.dtype,
        *,
        max_examples: int,
    ) -> None:
        self._admission = admission
        self._residents = residents
        self._pipeline = pipeline
        self._precision = precision
        self._max_examples = max_examples

    async def findings(self, prefix: Prefix, digest: str) -> tuple[Finding, ...]:
        """Replay a prefix, and return everything that is wrong with it.

        Raises:
            Overloaded, DeadlineExceeded: as `logits`.
        """
        try:
            logits = await self.logits(prefix, digest)
        except (InferenceFailed, InputRejected, ResidencyBudgetExceeded) as error:
            return (_failed_replay(prefix, error),)
        return replay_findings(prefix.spec, logits, self._precision)

    async def logits(self, prefix: Prefix, digest: str) -> list[NDArray[np.float32]]:
        """Load a prefix onto the device and run its golden examples; without any, made-up inputs.

        Returns:
            All outputs of each golden example, as one row.

        Raises:
            InputRejected: when an example does not fit the task.
            Overloaded: when the examples exceed the limit on in-flight texts.
            DeadlineExceeded: when the examples take too long.
            ResidencyBudgetExceeded: when the prefix does not fit on the device.
            InferenceFailed: when an example fails on the device.
        """
        golden = [example.fields for example in prefix.spec.golden]
        # Without golden examples, nothing else shows whether the prefix can answer at all.
        fields = golden or made_up_inputs(prefix.spec.input, _NUM_MADE_UP)
        outcomes: list[InputOutcome] = []
        for start in range(0, len(fields), self._max_examples):
            part = fields[start : start + self._max_examples]
            outcomes += await self._run(prefix, digest, part)
        rows = [np.concatenate([text.outputs.ravel() for text in one.outcomes]) for one in outcomes]
        return rows[: len(golden)]

    async def _run(
        self, prefix: Prefix, digest: str, fields: Sequence[InputFields]
    ) -> list[InputOutcome]:
        places = range(len(fields))
        async with self._admission.admit(len(fields), _TIMEOUT_SECONDS, tenant=_TENANT) as admitted:
            lease = await self._residents.lease(digest, staged=prefix)
            job = LeasedJob.of(lease, places, fields=fields, lengths=BEGINNING)
            try:
                outcomes = await self._pipeline.run_leased(admitted, [job])
            except InputRejected as error:
                raise error.among(len(fields)) from None
        return [outcomes[place] for place in places]


def _failed_replay(prefix: Prefix, error: Exception) -> Finding:
    """Describe why a prefix gave no outputs for its golden examples, or for made-up inputs."""
    if isinstance(error, ResidencyBudgetExceeded):
        return Finding(error.code, "tensors", "a prefix that fits on the device", str(error))
    if prefix.spec.golden:
        return Finding("golden_failed", "spec.golden", "logits", str(error))
    return Finding(
        "made_up_failed",
        "tensors",
        "finite outputs for made-up inputs, because the file has no golden examples",
        str(error),
        "the prefix could not answer any request: check its tensors and max_length, or train it "
        "again",
    )
