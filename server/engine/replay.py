"""GoldenReplay: a prefix's golden examples, or made-up inputs, run as any request is."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from prefixes import Finding, Prefix
from prefixes.made_up import made_up_inputs
from server.engine.admission import AdmissionControl
from server.engine.pipeline import Pipeline, Request
from server.residency.residents import ResidentPrefixes

_SECONDS: Final = 60.0
_NUM_MADE_UP: Final = 3


class GoldenReplay:
    """Admits examples, `at_once` of them together. Belongs to the event loop.

    All of a file at once might be more than may ever wait, and then would never be admitted.
    """

    def __init__(
        self,
        admission: AdmissionControl,
        residents: ResidentPrefixes,
        pipeline: Pipeline,
        at_once: int,
    ) -> None:
        self._admission = admission
        self._residents = residents
        self._pipeline = pipeline
        self._at_once = at_once

    async def logits(self, prefix: Prefix, digest: str) -> list[NDArray[np.float32]]:
        """Place a prefix on the device and run its golden examples, or made-up ones without any.

        Returns:
            All outputs of each golden example, in one row.

        Raises:
            InputRejected: when an example does not fit the task.
            Overloaded: when there is no room for the examples now.
            DeadlineExceeded: when the time ran out.
            InferenceFailed: when the prefix has no place, or an example fails.
        """
        golden = [example.fields for example in prefix.spec.golden]
        # Without golden examples nothing else shows whether the prefix can answer at all.
        fields = golden or made_up_inputs(prefix.spec.input, _NUM_MADE_UP)
        logits: list[NDArray[np.float32]] = []
        for start in range(0, len(fields), self._at_once):
            part = fields[start : start + self._at_once]
            async with self._admission.admit(len(part), _SECONDS) as admitted:
                request = Request(part, truncate=True, admitted=admitted)
                lease = await self._residents.lease(digest, staged=prefix)
                answers = await self._pipeline.answer(request, [(lease, range(len(part)))])
            logits += [
                np.concatenate([one.outputs.ravel() for one in answers[place].outcomes])
                for place in range(len(part))
            ]
        return logits[: len(golden)]


def failed_replay(prefix: Prefix, error: Exception) -> Finding:
    """Say that a prefix gives no outputs of its golden examples, or of made-up inputs."""
    if prefix.spec.golden:
        return Finding("golden_failed", "spec.golden", "logits", str(error))
    return Finding(
        "made_up_failed",
        "tensors",
        "finite outputs of made-up inputs, since the file has no golden examples",
        str(error),
        "the prefix could answer no request: check its tensors and max_length, or train it again",
    )
