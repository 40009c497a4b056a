"""The routes of the audit log: pages of events, and an export of all. Nothing changes events."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import AfterValidator, AwareDatetime, BeforeValidator

from prefixes.registry.audit import AuditFilter
from server import media_types
from server.api.audit_export import ExportFormat, header_of, lines_of, record_of
from server.api.dependencies import AuthenticatedRoute, CallerDep, ServicesDep, bearer
from server.api.problem_responses import responses
from server.api.services import Services
from server.api.tenant_schemas import AuditPage

router = APIRouter(
    prefix="/v1/audit",
    route_class=AuthenticatedRoute,
    tags=["audit"],
    dependencies=[Depends(bearer)],
    responses=responses(401, 403, 422, 503),
)

_YEAR: Final = re.compile(r"\d{4}-", re.ASCII)

_Text = Annotated[str | None, Query(max_length=200, pattern=r"^[ -~]*$")]


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time is before the year 1 or after the year 9999 in UTC") from None


def _is_written_out(text: str) -> str:
    """Reject a number, which pydantic would read as seconds since 1970."""
    if not _YEAR.match(text):
        raise ValueError("expected a time such as 2026-01-31T09:30:00Z")
    return text


_Time = Annotated[AwareDatetime, BeforeValidator(_is_written_out), AfterValidator(_in_utc)]


async def _filter(  # noqa: PLR0917 - FastAPI passes all by name
    caller: CallerDep,
    tenant: _Text = None,
    key_id: _Text = None,
    action: _Text = None,
    object: _Text = None,  # noqa: A002 - the name of the parameter on the wire
    since: Annotated[_Time | None, Query(description="Earliest time, inclusive.")] = None,
    until: Annotated[_Time | None, Query(description="Latest time, exclusive.")] = None,
) -> AuditFilter | None:
    """Build the filter of a request; None if the caller may see nothing of it."""
    where = AuditFilter(tenant, key_id, action, object, since, until)
    if caller.is_operator:
        return where
    if tenant not in {None, caller.tenant}:
        return None
    return replace(where, tenant=caller.tenant, is_current=True)


FilterDep = Annotated[AuditFilter | None, Depends(_filter)]


@router.get("", summary="List audit events, newest first")
async def list_events(
    request: Request,
    services: ServicesDep,
    where: FilterDep,
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> AuditPage:
    """Operators see all events, an `admin` those of its tenant. `next` is the next page."""
    if where is None:
        return AuditPage(events=[], next=None)
    read = partial(services.audit.list, where, limit=limit, before=before)
    found = await services.read(read)
    path = None
    if len(found) == limit:
        shown = dict(request.query_params) | {"limit": limit, "before": found[-1].id}
        path = f"/v1/audit?{urlencode(shown)}"
    return AuditPage(events=[record_of(event) for event in found], next=path)


@router.get(
    "/export",
    summary="Export audit events, newest first",
    response_class=Response,
    responses={
        200: {
            "content": {media_types.CSV: {}, media_types.NDJSON: {}},
            "description": "One event in each line.",
        }
    },
)
async def export_events(
    services: ServicesDep,
    where: FilterDep,
    format: Annotated[ExportFormat, Query()] = "csv",  # noqa: A002 - as above
) -> StreamingResponse:
    """Streams every event that the filter matches."""
    return StreamingResponse(
        _export(services, where, format),
        media_type=media_types.CSV if format == "csv" else media_types.NDJSON,
        headers={
            "Cache-Control": "no-store",
            "Content-Disposition": f'attachment; filename="audit.{format}"',
        },
    )


async def _export(
    services: Services, where: AuditFilter | None, kind: ExportFormat
) -> AsyncIterator[str]:
    yield header_of(kind)
    if where is None:
        return
    pages = services.audit.pages(where)
    while page := await services.read(partial(next, pages, ())):
        yield lines_of(page, kind)
