"""Arguments and results of the engine: plain values that can be sent between processes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NotRequired, TypedDict
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from prefixes import PrefixRef, PrefixSpec
from prefixes.answers import RuleOptions
from prefixes.encoded import EncodedInput, OccludedPart
from prefixes.lengths import LengthOptions
from prefixes.occlusion import OcclusionOptions
from prefixes.registry import Identity
from prefixes.spec import AliasRuleSet, TaskType
from prefixes.template import CHOICES, InputFields, TokenIds
from server.batching.timings import Timings
from server.limits.allowance import Allowance
from server.rates import RateState


@dataclass(frozen=True, slots=True)
class TaskInput:
    """One input of a request, and the reference of its prefix.

    `rules` are those of an alias that the caller resolved to the reference of a version.
    """

    ref: PrefixRef
    fields: InputFields
    rules: AliasRuleSet | None = None


@dataclass(frozen=True, slots=True)
class Recording:
    """Asks to record the answers of a request, for a tenant that opted in.

    `places` are those of the inputs in the request, if they are only a part of it.
    """

    tenant: str
    request_id: str
    places: Sequence[int] | None = None

    def place_of(self, index: int) -> int:
        """Return the place in the request of one of the inputs."""
        return index if self.places is None else self.places[index]

    @classmethod
    def of(cls, identity: Identity | None, request_id: str) -> "Recording | None":
        """Decide whether a request is in the share that the caller's tenant records."""
        if identity is None or not identity.recorded_percent or identity.tenant is None:
            return None
        # By the id, so that a repeated request is recorded again or not at all.
        point = crc32(request_id.encode()) / 2**32
        if 100 * point >= identity.recorded_percent:
            return None
        return cls(identity.tenant, request_id)


class InferenceOptions(TypedDict):
    """The arguments of `Engine.infer`, which documents them, in addition to the inputs."""

    reader: str | None
    lengths: LengthOptions
    timeout_seconds: float
    task_type: TaskType | None
    allowance: Allowance
    routing_key: str | None
    recording: Recording | None
    explain: OcclusionOptions | None
    rules: RuleOptions
    is_background: NotRequired[bool]


@dataclass(frozen=True, slots=True, eq=False)
class OccludedResult:
    """The outputs of an input without one of its parts; none if no text would remain."""

    part: OccludedPart
    texts: EncodedInput
    outputs: tuple[NDArray[np.float32], ...]


@dataclass(frozen=True, slots=True, eq=False)
class InferenceResult:
    """The result of one input: the outputs of each text that it became.

    An input is one text, or one for each choice or each window of a long context. The windows of a
    long text are already merged to one text; `window_tokens` are their numbers of tokens. It is
    empty if long texts have no windows. `version` is the version that its reference resolved to.
    `occluded` explains the result, if requested. `rules` are those of the alias. `projected` has
    the projected features of each text or window, for tasks whose rejection rule has vectors.
    """

    version: PrefixRef
    digest: str
    spec: PrefixSpec
    fields: InputFields
    texts: EncodedInput
    outputs: tuple[NDArray[np.float32], ...]
    timings: Timings
    occluded: tuple[OccludedResult, ...] = ()
    window_tokens: tuple[int, ...] = ()
    rules: AliasRuleSet | None = None
    projected: tuple[NDArray[np.float32], ...] | None = None

    @property
    def features(self) -> NDArray[np.float32] | None:
        """The projected features `[r]` of the input: the mean over its texts."""
        if self.projected is None:
            return None
        mean: NDArray[np.float32] = np.mean(self.projected, axis=0)
        return mean

    @property
    def num_tokens(self) -> int:
        """The number of tokens that were run for the input, its explanation included."""
        num_tokens = sum(self.window_tokens) or _num_tokens(self.texts)
        if self.occluded:
            num_tokens += sum(_num_tokens(one.texts) for one in self.occluded)
        return num_tokens

    @property
    def num_windows(self) -> int | None:
        """The number of windows of the text; None if long texts have none."""
        return len(self.window_tokens) or None

    @property
    def is_truncated(self) -> bool:
        return any(text.is_truncated for text in self.texts)

    @property
    def sliced_text(self) -> str:
        """The caller's text that spans in the answer refer to; empty for tasks without spans."""
        name = self.spec.sliced_field
        return "" if name is None else str(self.named_fields[name])

    @property
    def choices(self) -> Sequence[str]:
        """The choices of a multiple-choice input, as the caller wrote them."""
        return self.named_fields[CHOICES]

    @property
    def named_fields(self) -> Mapping[str, str | Sequence[str]]:
        """The caller's texts by field name."""
        assert not isinstance(self.fields, TokenIds), "token ids have no fields"
        if isinstance(self.fields, tuple):
            return dict(zip(self.spec.input.fields, self.fields, strict=True))
        return self.fields


def _num_tokens(texts: EncodedInput) -> int:
    return sum(len(text.token_ids) for text in texts)


@dataclass(frozen=True, slots=True, eq=False)
class InferenceResponse:
    """The results of all inputs of a request, and what is left of the caller's rate limits."""

    results: list[InferenceResult]
    rates: tuple[RateState, ...] = ()
