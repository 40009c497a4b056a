"""What callers of the engine give and get: plain values, that may travel between processes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prefixes import PrefixRef, PrefixSpec
from prefixes.encoded import EncodedInput
from prefixes.template import CHOICES, InputFields, TokenIds
from server.batching.timings import Timings


@dataclass(frozen=True, slots=True)
class TaskInput:
    """One input of a request, and the prefix that its sender asked for."""

    ref: PrefixRef
    fields: InputFields


@dataclass(frozen=True, slots=True, eq=False)
class InferenceResult:
    """What the device made of one input: the outputs of each text that was run for it.

    One text; or one for each choice, or for each window of a long context. `version` served it.
    """

    version: PrefixRef
    digest: str
    spec: PrefixSpec
    fields: InputFields
    texts: EncodedInput
    outputs: tuple[NDArray[np.float32], ...]
    timings: Timings

    @property
    def num_tokens(self) -> int:
        return sum(len(text.token_ids) for text in self.texts)

    @property
    def is_truncated(self) -> bool:
        return any(text.is_truncated for text in self.texts)

    @property
    def sliced_text(self) -> str:
        """The text of the sender that answers point into; empty for tasks without such."""
        name = self.spec.sliced_field
        return "" if name is None else str(self._named_fields[name])

    @property
    def choices(self) -> Sequence[str]:
        """The choices of a multiple choice, as the sender wrote them."""
        return self._named_fields[CHOICES]

    @property
    def _named_fields(self) -> Mapping[str, str | Sequence[str]]:
        assert not isinstance(self.fields, TokenIds), "no answer points into ids"
        if isinstance(self.fields, tuple):
            return dict(zip(self.spec.input.fields, self.fields, strict=True))
        return self.fields
