"""The routes of the audit log: pages of events, and an export of all. Nothing changes events."""

from dataclasses import replace
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from prefixes.registry.audit import AuditFilter
from server.api.audit_export import audit_lines, record_of
from server.api.dependencies import AuthenticatedRoute, CallerDep, ServicesDep, bearer
from server.api.exports import EXPORT_RESPONSES, ExportFormat, export_response
from server.api.pages import PAGE_SIZE, FilterText, PageSize, UtcTime, page_response
from server.api.problem_responses import responses
from server.api.tenant_schemas import AuditPage

router = APIRouter(
    prefix="/v1/audit",
    route_class=AuthenticatedRoute,
    tags=["audit"],
    dependencies=[Depends(bearer)],
    responses=responses(401, 403, 422, 503),
)


async def _filter(  # noqa: PLR0917 - FastAPI passes all by name
    caller: CallerDep,
    tenant: FilterText = None,
    key_id: FilterText = None,
    action: FilterText = None,
    object: FilterText = None,  # noqa: A002 - the name of the parameter on the wire
    since: Annotated[UtcTime | None, Query(description="Earliest time, inclusive.")] = None,
    until: Annotated[UtcTime | None, Query(description="Latest time, exclusive.")] = None,
) -> AuditFilter | None:
    """Build the filter of a request; None if the caller may see nothing of it."""
    where = AuditFilter(tenant, key_id, action, object, since, until)
    if caller.is_operator:
        return where
    if tenant not in {None, caller.tenant}:
        return None
    return replace(where, tenant=caller.tenant, is_current=True)


FilterDep = Annotated[AuditFilter | None, Depends(_filter)]


@router.get("", summary="List audit events, newest first", response_model=AuditPage)
async def list_events(
    request: Request,
    services: ServicesDep,
    where: FilterDep,
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
    limit: PageSize = PAGE_SIZE,
) -> Response:
    """Operators see all events, an `admin` those of its tenant. `next` is the next page."""

    def read() -> AuditPage:
        if where is None:
            return AuditPage(events=[], next=None)
        found = services.audit.list(where, limit=limit, before=before)
        path = None
        if len(found) == limit:
            shown = dict(request.query_params) | {"limit": limit, "before": found[-1].id}
            path = f"/v1/audit?{urlencode(shown)}"
        return AuditPage(events=[record_of(event) for event in found], next=path)

    return await page_response(services, read)


@router.get(
    "/export",
    summary="Export audit events, newest first",
    response_class=Response,
    responses=EXPORT_RESPONSES,
)
async def export_events(
    request: Request,
    services: ServicesDep,
    where: FilterDep,
    format: Annotated[ExportFormat, Query()] = "csv",  # noqa: A002 - as above
) -> StreamingResponse:
    """Streams every event that the filter matches."""
    pages = () if where is None else services.audit.pages(where)
    return export_response(
        services,
        audit_lines(pages, format),
        name="audit",
        kind=format,
        authorization=request.state.authorization,
    )
