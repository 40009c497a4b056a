"""InputOutcome: what the device returned for one input."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from prefixes import PrefixSpec
from prefixes.answers import whole_outputs, whole_texts
from prefixes.encoded import EncodedInput
from prefixes.registry import PrefixVersion
from prefixes.spec import AliasRuleSet
from prefixes.template import InputFields
from server.batching.timings import Timings
from server.batching.work import Outcome
from server.engine.values import InferenceResult, OccludedResult


@dataclass(frozen=True, slots=True, eq=False)
class InputOutcome:
    """The texts that one input became, and the outcome of each.

    If the input is explained, `occluded` has the texts that it became without each of its parts.
    Their outcomes follow.
    """

    spec: PrefixSpec
    texts: EncodedInput
    outcomes: tuple[Outcome, ...]
    occluded: Sequence[EncodedInput] = ()

    def result(
        self, version: PrefixVersion, fields: InputFields, rules: AliasRuleSet | None
    ) -> InferenceResult:
        """Return the result of the input, which a version answered under the rules of an alias."""
        outputs = tuple(one.outputs for one in self.outcomes)
        its_outputs = outputs[: len(self.texts)]
        has_windows = self.texts[0].window is not None
        return InferenceResult(
            version=version.ref,
            digest=version.digest,
            spec=self.spec,
            fields=fields,
            texts=whole_texts(self.texts),
            outputs=self._merged(self.texts, its_outputs),
            timings=self.timings,
            window_tokens=tuple(len(one.token_ids) for one in self.texts) if has_windows else (),
            occluded=self._occluded_results(outputs) if self.occluded else (),
            rules=rules,
            projected=self.projected,
        )

    @property
    def projected(self) -> tuple[NDArray[np.float32], ...] | None:
        """The projected features of each text, for tasks whose rejection rule has vectors."""
        if self.outcomes[0].projected is None:
            return None
        own = self.outcomes[: len(self.texts)]
        return tuple(one.projected for one in own if one.projected is not None)

    @property
    def timings(self) -> Timings:
        """The times of the text that took longest."""
        return max(
            (one.timings for one in self.outcomes), key=lambda t: t.queue_seconds + t.device_seconds
        )

    def _occluded_results(
        self, outputs: Sequence[NDArray[np.float32]]
    ) -> tuple[OccludedResult, ...]:
        rest = iter(outputs[len(self.texts) :])
        return tuple(
            OccludedResult(part, texts, self._merged(texts, list(islice(rest, len(texts)))))
            for part, texts in zip(self.texts[0].occluded_parts, self.occluded, strict=True)
        )

    def _merged(
        self, texts: EncodedInput, outputs: Sequence[NDArray[np.float32]]
    ) -> tuple[NDArray[np.float32], ...]:
        return tuple(whole_outputs(self.spec, texts, outputs)) if texts else ()
