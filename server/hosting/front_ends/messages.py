"""What front ends and the engine tell each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from prefixes import BackboneFingerprint, PrefixRef, PrefixSpec
from prefixes.encoded import EncodedInput
from server.batching.timings import Timings
from server.engine.values import InferenceResult, TaskInput
from server.settings import Settings
from server.training_jobs.records import Trainer

Method = Literal["infer", "replay", "find_problem", "exposition"]


@dataclass(frozen=True, slots=True)
class Welcome:
    """The parent's first word to a front end: what it must know to serve."""

    settings: Settings
    backbone: BackboneFingerprint
    trainer: Trainer


@dataclass(frozen=True, slots=True)
class ReadyNotice:
    """A front end's first word: it takes connections from now on."""


@dataclass(frozen=True, slots=True)
class DrainNotice:
    """The engine's process has begun to drain: streams and half bodies end now."""


@dataclass(frozen=True, slots=True)
class Call:
    """A question; the `Reply` or `Failure` has the same number."""

    number: int
    method: Method
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Cancel:
    """Nobody waits for the answer any more."""

    number: int


@dataclass(frozen=True, slots=True)
class CompletedRequest:
    """A request that was answered, to be counted; see `Metrics.request_done`."""

    route: str
    status: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a question."""

    number: int
    value: Any


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong: an exception in parts, for many cannot be made again from a pickle."""

    number: int
    kind: type[Exception]
    arguments: tuple[Any, ...]
    attributes: Mapping[str, Any]

    @classmethod
    def of(cls, number: int, error: Exception) -> Self:
        """Take an exception apart."""
        return cls(number, type(error), error.args, vars(error))

    def error(self) -> Exception:
        """Put it together again."""
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

    @classmethod
    def of(cls, inferred: InferenceResult) -> Self:
        """Leave out what the other end has."""
        return cls(
            inferred.version, inferred.digest, inferred.texts, inferred.outputs, inferred.timings
        )

    def inferred(self, item: TaskInput, spec: PrefixSpec) -> InferenceResult:
        """Add it again."""
        return InferenceResult(
            self.version, self.digest, spec, item.fields, self.texts, self.outputs, self.timings
        )


@dataclass(frozen=True, slots=True, eq=False)
class CompactResults:
    """The answer to `infer`, with the specs that this channel has not carried yet.

    `is_fresh` says that specs carried earlier do not count any more.
    """

    rows: Sequence[CompactResult]
    specs: Mapping[str, PrefixSpec]
    is_fresh: bool
