"""Replaying: a prefix's golden examples, run as any request is."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from prefixes import Prefix
from server.engine.admission import Admission
from server.engine.answering import Answering, Request
from server.engine.residents import ResidentPrefixes

_SECONDS: Final = 60.0


class Replaying:
    """Admits golden examples, `at_once` of them together. Belongs to the event loop.

    All of a file at once might be more than may ever wait, and then would never be admitted.
    """

    def __init__(
        self,
        admission: Admission,
        residents: ResidentPrefixes,
        answering: Answering,
        at_once: int,
    ) -> None:
        self._admission = admission
        self._residents = residents
        self._answering = answering
        self._at_once = at_once

    async def logits(self, prefix: Prefix, digest: str) -> list[NDArray[np.float32]]:
        """Place a prefix on the device and run its examples: all outputs of each in one row.

        Raises:
            Overloaded: when there is no room for the examples now.
            DeadlineExceeded: when the time ran out.
            InferenceFailed: when the prefix has no place, or an example fails.
        """
        fields = [example.fields for example in prefix.spec.golden]
        logits: list[NDArray[np.float32]] = []
        for start in range(0, max(1, len(fields)), self._at_once):  # it gets its place in any case
            part = fields[start : start + self._at_once]
            async with self._admission.admit(len(part), _SECONDS) as admitted:
                request = Request(part, truncate=True, admitted=admitted)
                lease = await self._residents.lease(digest, staged=prefix)
                answers = await self._answering.answer(request, [(lease, range(len(part)))])
            logits += [
                np.concatenate([one.outputs.ravel() for one in answers[place].outcomes])
                for place in range(len(part))
            ]
        return logits
