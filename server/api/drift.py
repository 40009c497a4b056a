"""The route that compares the texts and answers of a version with its validation rows."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from prefixes import PrefixRef
from prefixes.registry.answer_hours import AnsweringVersion
from prefixes.spec.statistics import AnswerStatistics
from server.api.dependencies import AuthenticatedRoute, ServicesDep, bearer
from server.api.problem_responses import responses
from server.api.schemas import WireResponse
from server.api.versions import VersionNumber
from server.drift.comparison import drifts_of

router = APIRouter(
    prefix="/v1/tenants/{tenant}/prefixes/{task}/versions/{version}/drift",
    route_class=AuthenticatedRoute,
    tags=["prefixes"],
    dependencies=[Depends(bearer)],
    responses=responses(401, 403, 404, 422, 503),
)

_DECIMALS = 6


class DriftEntry(WireResponse):
    """The drift of one statistic."""

    statistic: Literal["labels", "scores", "lengths", "unknown"]
    index: float = Field(description="Population stability index; 0 if nothing differs.")
    by_chance: float = Field(description="Index that 5 % of samples of this size exceed by chance.")
    has_drifted: bool


class Histograms(WireResponse):
    """Counts of texts in bins, without any text. docs/answers.md defines the bins."""

    texts: int
    labels: list[int]
    scores: list[int]
    lengths: list[int]
    unknown: list[int]


class DriftReport(WireResponse):
    hours: int
    bound: float = Field(description="Index above which a statistic counts as drifted.")
    drifts: list[DriftEntry] = Field(description="Empty without a reference or without texts.")
    labels: list[str] = Field(description="Names of the bins of labels. The last: no label.")
    reference: Histograms | None = Field(
        description="The validation rows. Null: the file has no statistics."
    )
    found: Histograms | None = Field(description="The texts of these hours. Null: none.")


@router.get("", summary="Compare the texts of a version with its validation rows")
async def show_drift(
    tenant: str,
    task: str,
    version: VersionNumber,
    services: ServicesDep,
    hours: Annotated[int, Query(ge=1, le=24 * 366, description="Time in hours until now.")] = 24,
) -> DriftReport:
    """Counts of texts up to a minute ago, of all callers together."""
    ref = PrefixRef(tenant, task, version=version)
    found = await services.read(partial(services.registry.version, ref, reader=tenant))
    spec = await services.read(partial(services.registry.spec, found.digest))
    since = datetime.now(UTC) - timedelta(hours=hours)
    key = AnsweringVersion(tenant, task, found.digest)
    counted = await services.read(partial(services.statistics.sum, key, since=since))
    reference = None if spec.decisions is None else spec.decisions.reference
    bound = services.settings.drift_bound
    return DriftReport(
        hours=hours,
        bound=bound,
        drifts=_entries(reference, counted, bound),
        labels=list(spec.labels) if reference is not None and reference.labels else [],
        reference=_histograms(reference),
        found=_histograms(counted),
    )


def _entries(
    reference: AnswerStatistics | None, counted: AnswerStatistics | None, bound: float
) -> list[DriftEntry]:
    if reference is None or counted is None:
        return []
    return [
        DriftEntry(
            statistic=drift.statistic,
            index=round(drift.index, _DECIMALS),
            by_chance=round(drift.by_chance, _DECIMALS),
            has_drifted=drift.has_drifted,
        )
        for drift in drifts_of(reference, counted, bound=bound)
    ]


def _histograms(statistics: AnswerStatistics | None) -> Histograms | None:
    return None if statistics is None else Histograms(**statistics.model_dump(mode="json"))
