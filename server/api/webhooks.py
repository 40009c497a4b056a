"""The routes of a tenant's webhooks: create, list, show, change, rotate, test, delete."""

from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from prefixes.registry.webhook_rows import IssuedWebhook, Webhook
from server.api.dependencies import ActorDep, AuthenticatedRoute, ServicesDep, bearer
from server.api.pages import PAGE_SIZE, PageSize, page_response
from server.api.problem_responses import responses
from server.api.services import Services
from server.api.webhook_schemas import (
    DEFAULT_ROTATION,
    DeliveryList,
    DeliveryStatus,
    NewWebhook,
    SecretRotation,
    WebhookChange,
    WebhookList,
    WebhookRequest,
    WebhookStatus,
)

router = APIRouter(
    prefix="/v1/tenants/{tenant}/webhooks",
    route_class=AuthenticatedRoute,
    tags=["webhooks"],
    dependencies=[Depends(bearer)],
    responses=responses(401, 403, 404, 422, 503),
)


@router.post("", summary="Create a webhook", status_code=201, responses=responses(400, 409, 413))
async def create_webhook(
    tenant: str, body: WebhookRequest, response: Response, services: ServicesDep, actor: ActorDep
) -> NewWebhook:
    """The response contains the secret that verifies signatures. It cannot be read again."""
    create = partial(services.webhooks.create, tenant, body.url, body.events, by=actor)
    made = await services.write(create)
    response.headers["Location"] = f"/v1/tenants/{tenant}/webhooks/{made.webhook.id}"
    return _shown_once(made, response)


@router.get("", summary="List the webhooks of a tenant, oldest first")
async def list_webhooks(tenant: str, services: ServicesDep) -> WebhookList:
    """A tenant has at most 10."""
    await services.read(partial(services.tenants.find, tenant))
    found = await services.read(partial(services.webhooks.list, tenant))
    return WebhookList(webhooks=[_status(one) for one in found])


@router.get("/{webhook}", summary="Show a webhook")
async def show_webhook(tenant: str, webhook: str, services: ServicesDep) -> WebhookStatus:
    """Shows everything but the secret."""
    return _status(await services.read(partial(services.webhooks.find, tenant, webhook)))


@router.patch("/{webhook}", summary="Change a webhook", responses=responses(400, 413))
async def change_webhook(
    tenant: str, webhook: str, body: WebhookChange, services: ServicesDep, actor: ActorDep
) -> WebhookStatus:
    """Fields that are absent or null stay as they are."""
    change = partial(
        services.webhooks.change,
        tenant,
        webhook,
        url=body.url,
        events=body.events,
        is_enabled=body.is_enabled,
        by=actor,
    )
    return _status(await services.write(change))


@router.post(
    "/{webhook}/rotate", summary="Replace the secret of a webhook", responses=responses(400, 413)
)
async def rotate_secret(  # noqa: PLR0917 - FastAPI passes all by name
    tenant: str,
    webhook: str,
    response: Response,
    services: ServicesDep,
    actor: ActorDep,
    body: SecretRotation = DEFAULT_ROTATION,
) -> NewWebhook:
    """During the overlap, each message has signatures of both secrets."""
    overlap = timedelta(seconds=body.overlap_seconds)
    rotate = partial(services.webhooks.rotate, tenant, webhook, overlap=overlap, by=actor)
    return _shown_once(await services.write(rotate), response)


@router.post(
    "/{webhook}/test",
    summary="Send a test event to a webhook",
    status_code=202,
    response_class=Response,  # without a body
)
async def test_webhook(tenant: str, webhook: str, services: ServicesDep) -> Response:
    """Queues an event `webhook.test`. The deliveries of the webhook show what became of it."""
    await services.write(partial(services.webhooks.test, tenant, webhook))
    return Response(status_code=202)


@router.get(
    "/{webhook}/deliveries",
    summary="List the deliveries of a webhook, newest first",
    response_model=DeliveryList,
)
async def list_deliveries(
    tenant: str,
    webhook: str,
    services: ServicesDep,
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
    limit: PageSize = PAGE_SIZE,
) -> Response:
    """Pending deliveries and the last 200 others. `next` is the path of the next page."""
    return await page_response(services, partial(_page, services, tenant, webhook, before, limit))


@router.delete("/{webhook}", summary="Delete a webhook", status_code=204)
async def delete_webhook(tenant: str, webhook: str, services: ServicesDep, actor: ActorDep) -> None:
    """Its pending deliveries are deleted, too."""
    await services.write(partial(services.webhooks.delete, tenant, webhook, by=actor))


def _page(
    services: Services, tenant: str, webhook: str, before: int | None, limit: int
) -> DeliveryList:
    found = services.webhooks.deliveries(tenant, webhook, limit=limit, before=before)
    is_last = len(found) < limit
    path = f"/v1/tenants/{tenant}/webhooks/{webhook}/deliveries"
    return DeliveryList(
        deliveries=[DeliveryStatus(**asdict(one)) for one in found],
        next=None if is_last else f"{path}?limit={limit}&before={found[-1].id}",
    )


def _status(webhook: Webhook) -> WebhookStatus:
    return WebhookStatus(**asdict(webhook))


def _shown_once(issued: IssuedWebhook, response: Response) -> NewWebhook:
    response.headers["Cache-Control"] = "no-store"
    return NewWebhook(**asdict(issued.webhook), secret=issued.secret)
