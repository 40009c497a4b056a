"""Messages between front ends and the process of the engine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from prefixes import BackboneFingerprint, PrefixRef, PrefixSpec
from prefixes.encoded import EncodedInput
from prefixes.spec import AliasRuleSet
from server.batching.timings import Timings
from server.engine.values import InferenceResult, OccludedResult, TaskInput
from server.rates import RateState
from server.settings import Settings

Method = Literal[
    "infer",
    "admit_management",
    "write_answers",
    "canary_counts",
    "replay",
    "find_problem",
    "find_failure",
    "exposition",
]


@dataclass(frozen=True, slots=True)
class Welcome:
    """The first message to a front end, with all that it needs to serve."""

    settings: Settings
    backbone: BackboneFingerprint


@dataclass(frozen=True, slots=True)
class ReadyNotice:
    """The first message of a front end: it accepts connections now."""


@dataclass(frozen=True, slots=True)
class DrainNotice:
    """The engine's process drains: event streams and incomplete bodies end now."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a method. Its `Reply` or `Failure` has the same number."""

    number: int
    method: Method
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Cancel:
    """The caller no longer waits for the reply."""

    number: int


@dataclass(frozen=True, slots=True)
class CompletedRequest:
    """A response for the metrics. See `Metrics.request_done`."""

    route: str
    status: int
    seconds: float
    tenant: str | None


@dataclass(frozen=True, slots=True)
class Reply:
    """The result of a call."""

    number: int
    value: Any


@dataclass(frozen=True, slots=True)
class Failure:
    """The exception of a call, in parts, because many exceptions cannot be unpickled."""

    number: int
    kind: type[Exception]
    arguments: tuple[Any, ...]
    attributes: Mapping[str, Any]

    @classmethod
    def of(cls, number: int, error: Exception) -> Self:
        """Take an exception apart, to be sent."""
        return cls(number, type(error), error.args, vars(error))

    def error(self) -> Exception:
        """Return the exception."""
        error = self.kind.__new__(self.kind, *self.arguments)
        vars(error).update(self.attributes)
        return error


@dataclass(frozen=True, slots=True, eq=False)
class CompactResult:
    """An `InferenceResult` without its fields, and with the digest of its spec instead of it."""

    version: PrefixRef
    digest: str
    texts: EncodedInput
    outputs: tuple[Any, ...]
    timings: Timings
    occluded: tuple[OccludedResult, ...]
    window_tokens: tuple[int, ...]
    rules: AliasRuleSet | None
    projected: tuple[Any, ...] | None

    @classmethod
    def of(cls, result: InferenceResult) -> Self:
        """Leave out what the front end has."""
        return cls(
            result.version,
            result.digest,
            result.texts,
            result.outputs,
            result.timings,
            result.occluded,
            result.window_tokens,
            result.rules,
            result.projected,
        )

    def completed(self, item: TaskInput, spec: PrefixSpec) -> InferenceResult:
        """Add the spec, and the fields of the input."""
        return InferenceResult(
            self.version,
            self.digest,
            spec,
            item.fields,
            self.texts,
            self.outputs,
            self.timings,
            self.occluded,
            self.window_tokens,
            self.rules,
            self.projected,
        )


@dataclass(frozen=True, slots=True, eq=False)
class CompactResults:
    """The response of `infer`, with the specs that were not sent over this channel before.

    `is_fresh` tells the front end to forget the specs of earlier messages.
    """

    results: Sequence[CompactResult]
    rates: tuple[RateState, ...]
    specs: Mapping[str, PrefixSpec]
    is_fresh: bool
