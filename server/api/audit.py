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
from server.api.auth import is_accepted
from server.api.dependencies import AuthenticatedRoute, CallerDep, ServicesDep, bearer
from server.api.pages import PAGE_SIZE, PageSize, page_response
from server.api.problem_responses import responses
from server.api.services import Services
from server.api.tenant_schemas import AuditPage
from server.errors import InvalidKey

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
    responses={
        200: {
            "content": {media_types.CSV: {}, media_types.NDJSON: {}},
            "description": "One event in each line.",
        }
    },
)
async def export_events(
    request: Request,
    services: ServicesDep,
    where: FilterDep,
    format: Annotated[ExportFormat, Query()] = "csv",  # noqa: A002 - as above
) -> StreamingResponse:
    """Streams every event that the filter matches.

    If the key becomes invalid meanwhile, the connection is closed before the end of the response.
    """
    header = request.headers.get("authorization")
    return StreamingResponse(
        _export(services, where, format, authorization=header),
        media_type=media_types.CSV if format == "csv" else media_types.NDJSON,
        headers={
            "Cache-Control": "no-store",
            "Content-Disposition": f'attachment; filename="audit.{format}"',
        },
    )


async def _export(
    services: Services, where: AuditFilter | None, kind: ExportFormat, *, authorization: str | None
) -> AsyncIterator[str]:
    """Stream the lines. A thread reads and renders each page.

    Raises:
        InvalidKey: when the key is not accepted any more. The client sees an incomplete response.
    """
    yield header_of(kind)
    if where is None:
        return
    texts = (lines_of(page, kind) for page in services.audit.pages(where))
    while text := await services.read(partial(next, texts, "")):
        if not await is_accepted(authorization, services.keys):
            raise InvalidKey("The API key became invalid during the export. Use a valid key.")
        yield text
