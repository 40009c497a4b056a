"""The routes of usage: of one tenant, and of all for operators. Pages, and an export of all."""

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from pydantic import AfterValidator

from prefixes.registry.usage import UsageFilter, UsageGroup, UsageKey
from server.api.dependencies import AuthenticatedRoute, ServicesDep, bearer
from server.api.exports import EXPORT_RESPONSES, ExportFormat, export_response
from server.api.pages import PAGE_SIZE, FilterText, PageSize, UtcTime, page_response
from server.api.problem_responses import responses
from server.api.services import Services
from server.api.usage_export import UsagePage, usage_lines, usage_record

router = APIRouter(
    prefix="/v1",
    route_class=AuthenticatedRoute,
    tags=["usage"],
    dependencies=[Depends(bearer)],
    responses=responses(401, 403, 422, 503),
)

_HOUR: Final = "%Y%m%dT%H"


def _key_of(text: str) -> str:
    """Check the form of `after`, which `_page` writes."""
    _parse(text)
    return text


def _parse(text: str) -> UsageKey:
    hour, _, rest = text.partition("/")
    tenant, _, name = rest.partition("/")
    moment = datetime.strptime(hour, _HOUR).replace(tzinfo=UTC)
    return UsageKey(moment, tenant or None, name)


_After = Annotated[
    str | None,
    Query(max_length=200, pattern=r"^[ -~]*$", description="Begin after this row, as `next` does."),
    AfterValidator(lambda text: None if text is None else _key_of(text)),
]


async def _filter(
    by: Annotated[
        UsageGroup, Query(description="Whether a row is the sum of a task or of a key.")
    ] = "task",
    task: FilterText = None,
    key_id: FilterText = None,
    since: Annotated[UtcTime | None, Query(description="Earliest hour, inclusive.")] = None,
    until: Annotated[UtcTime | None, Query(description="Latest hour, exclusive.")] = None,
) -> UsageFilter:
    if by == "key" and task is not None:
        raise _unused("task", "is for rows by task: remove it, or `by=key`")
    if by == "task" and key_id is not None:
        raise _unused("key_id", "is for rows by key: add `by=key`, or remove it")
    return UsageFilter(task=task, since=since, until=until, key_id=key_id, by=by)


def _unused(parameter: str, message: str) -> RequestValidationError:
    error = {"type": "value_error", "loc": ("query", parameter), "msg": message, "input": None}
    return RequestValidationError([error])


FilterDep = Annotated[UsageFilter, Depends(_filter)]


@router.get(
    "/tenants/{tenant}/usage",
    summary="Show what a tenant used, by hour and task or key",
    response_model=UsagePage,
    responses=responses(404),
)
async def show_usage(  # noqa: PLR0917 - FastAPI passes all by name
    tenant: str,
    request: Request,
    services: ServicesDep,
    where: FilterDep,
    after: _After = None,
    limit: PageSize = PAGE_SIZE,
) -> Response:
    """The oldest hour first, up to a minute ago. `next` is the path of the next page."""
    await services.read(partial(services.tenants.find, tenant))
    where = replace(where, tenant=tenant)
    return await page_response(services, partial(_page, services, request, where, after, limit))


@router.get(
    "/tenants/{tenant}/usage/export",
    summary="Export what a tenant used",
    response_class=Response,
    responses={**EXPORT_RESPONSES, **responses(404)},
)
async def export_usage(
    tenant: str,
    request: Request,
    services: ServicesDep,
    where: FilterDep,
    format: Annotated[ExportFormat, Query()] = "csv",  # noqa: A002 - the name on the wire
) -> StreamingResponse:
    """Streams every row that the filter matches, the oldest hour first."""
    await services.read(partial(services.tenants.find, tenant))
    return _export(services, request, replace(where, tenant=tenant), format)


@router.get("/usage", summary="Show what all tenants used", response_model=UsagePage)
async def show_all_usage(  # noqa: PLR0917 - as above
    request: Request,
    services: ServicesDep,
    where: FilterDep,
    tenant: FilterText = None,
    after: _After = None,
    limit: PageSize = PAGE_SIZE,
) -> Response:
    """The oldest hour first, up to a minute ago. `next` is the path of the next page."""
    where = replace(where, tenant=tenant)
    return await page_response(services, partial(_page, services, request, where, after, limit))


@router.get(
    "/usage/export",
    summary="Export what all tenants used",
    response_class=Response,
    responses=EXPORT_RESPONSES,
)
async def export_all_usage(
    request: Request,
    services: ServicesDep,
    where: FilterDep,
    tenant: FilterText = None,
    format: Annotated[ExportFormat, Query()] = "csv",  # noqa: A002 - as above
) -> StreamingResponse:
    """Streams every row that the filter matches, the oldest hour first."""
    return _export(services, request, replace(where, tenant=tenant), format)


def _page(
    services: Services, request: Request, where: UsageFilter, after: str | None, limit: int
) -> UsagePage:
    last = None if after is None else _parse(after)
    found = services.usage.list(where, limit=limit, after=last)
    path = None
    if len(found) == limit:
        hour, tenant, name = found[-1].place
        cursor = f"{hour.strftime(_HOUR)}/{tenant or ''}/{name}"
        shown = dict(request.query_params) | {"limit": limit, "after": cursor}
        path = f"{request.url.path}?{urlencode(shown)}"
    return UsagePage(usage=[usage_record(row) for row in found], next=path)


def _export(
    services: Services, request: Request, where: UsageFilter, kind: ExportFormat
) -> StreamingResponse:
    return export_response(
        services,
        usage_lines(services.usage.pages(where), kind),
        name="usage",
        kind=kind,
        authorization=request.state.authorization,
    )
