"""Wire models of canaries."""

from datetime import datetime

from pydantic import Field

from prefixes.names import MAX_VERSION
from prefixes.registry import Canary, CanaryPlan
from server.api.schemas import StrictRequest, WireResponse


class CanaryRequest(StrictRequest):
    version: int = Field(ge=1, le=MAX_VERSION)
    percent: float = Field(
        ge=0, le=100, description="Share of the callers that the canary answers."
    )

    def plan(self) -> CanaryPlan:
        """Return the values as the registry takes them."""
        return CanaryPlan(version=self.version, percent=self.percent)


class CanaryState(WireResponse):
    version: int
    percent: float
    started_at: datetime
    started_by: str


def canary_state(canary: Canary) -> CanaryState:
    """Describe a canary."""
    return CanaryState(
        version=canary.plan.version,
        percent=canary.plan.percent,
        started_at=canary.started_at,
        started_by=canary.started_by,
    )
