"""Wire models of canaries, and of what is counted about them."""

from datetime import datetime

from pydantic import Field

from prefixes.names import MAX_VERSION
from prefixes.registry import Canary, CanaryPlan
from server.api.schemas import StrictRequest, WireResponse
from server.engine.canaries.counts import CanaryCounts, VersionCounts


class CanaryRequest(StrictRequest):
    version: int = Field(ge=1, le=MAX_VERSION)
    percent: float = Field(
        ge=0, le=100, description="Share of the callers that the canary answers."
    )
    shadow_percent: float = Field(
        default=0, ge=0, le=100, description="Share of inputs that both versions run."
    )
    max_error_percent: float | None = Field(
        default=None, ge=0, le=100, description="Failures from which the canary is rolled back."
    )
    max_disagreement_percent: float | None = Field(
        default=None, ge=0, le=100, description="Different answers from which it is rolled back."
    )
    min_samples: int = Field(
        default=100, ge=1, le=1_000_000, description="Number of inputs before bounds apply."
    )

    def plan(self) -> CanaryPlan:
        """Return the values as the registry takes them."""
        return CanaryPlan(**self.model_dump())


class CanaryState(WireResponse):
    version: int
    percent: float
    shadow_percent: float
    max_error_percent: float | None
    max_disagreement_percent: float | None
    min_samples: int
    started_at: datetime
    started_by: str


class VersionReport(WireResponse):
    answered: int = Field(description="Inputs that it answered.")
    failed: int = Field(description="Inputs on which it failed, for callers or in the shadow.")
    mean_ms: float | None = Field(description="Mean time of answers, queue and device.")
    shadow_runs: int
    shadow_mean_ms: float | None = Field(description="Mean time of shadow runs on the device.")


class LabelPair(WireResponse):
    stable: str
    canary: str
    count: int


class CanaryReport(WireResponse):
    stable: VersionReport
    canary: VersionReport
    error_percent: float
    compared: int = Field(description="Inputs that both versions answered.")
    agreed: int
    disagreement_percent: float
    dropped: int = Field(description="Comparisons that were dropped because the server was busy.")
    labels: list[LabelPair] = Field(description="Pairs of labels, the most frequent first.")
    other_pairs: int = Field(description="Comparisons with further pairs of labels.")


def canary_state(canary: Canary) -> CanaryState:
    """Describe a canary."""
    plan = canary.plan
    return CanaryState(
        version=plan.version,
        percent=plan.percent,
        shadow_percent=plan.shadow_percent,
        max_error_percent=plan.max_error_percent,
        max_disagreement_percent=plan.max_disagreement_percent,
        min_samples=plan.min_samples,
        started_at=canary.started_at,
        started_by=canary.started_by,
    )


def canary_report(counts: CanaryCounts) -> CanaryReport:
    """Describe what was counted about a canary."""
    return CanaryReport(
        stable=_version_report(counts.stable),
        canary=_version_report(counts.canary),
        error_percent=counts.error_percent,
        compared=counts.num_compared,
        agreed=counts.num_agreed,
        disagreement_percent=counts.disagreement_percent,
        dropped=counts.num_dropped,
        labels=[
            LabelPair(stable=stable, canary=canary, count=count)
            for (stable, canary), count in counts.labels.most_common()
        ],
        other_pairs=counts.num_other_pairs,
    )


def _version_report(counts: VersionCounts) -> VersionReport:
    return VersionReport(
        answered=counts.num_answered,
        failed=counts.num_failed,
        mean_ms=_mean_ms(counts.answer_seconds, counts.num_answered),
        shadow_runs=counts.num_shadows,
        shadow_mean_ms=_mean_ms(counts.shadow_seconds, counts.num_shadows),
    )


def _mean_ms(seconds: float, number: int) -> float | None:
    return round(1000 * seconds / number, 3) if number else None
