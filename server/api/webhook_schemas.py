"""Wire models of webhooks and their deliveries."""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, AwareDatetime, Field

from prefixes.registry.outbox import WEBHOOK_EVENTS, WebhookEvent
from server.api.schemas import StrictRequest, WireResponse
from server.webhooks.urls import check_url

_Url = Annotated[
    str,
    Field(
        max_length=2048,
        description="Receives the events, by POST.",
        examples=["https://hooks.example.org/polyprefix"],
    ),
    AfterValidator(check_url),
]


def _distinct(events: list[WebhookEvent]) -> list[WebhookEvent]:
    return list(dict.fromkeys(events))


_Events = Annotated[
    list[WebhookEvent],
    Field(min_length=1, max_length=len(WEBHOOK_EVENTS), description="Events to deliver."),
    AfterValidator(_distinct),
]


class WebhookRequest(StrictRequest):
    url: _Url
    events: _Events


class WebhookChange(StrictRequest):
    url: _Url | None = None
    events: _Events | None = None
    is_enabled: bool | None = Field(
        default=None, description="While it is false, no events are queued, and queued ones wait."
    )


class SecretRotation(StrictRequest):
    overlap_seconds: int = Field(
        default=86_400,
        ge=0,
        le=90 * 86_400,
        description="How long messages are signed with the old secret, too.",
    )


DEFAULT_ROTATION: Final = SecretRotation()
"""The body of a rotation that has none."""


class WebhookStatus(WireResponse):
    id: str
    url: str
    events: list[WebhookEvent]
    is_enabled: bool
    created_at: AwareDatetime


class NewWebhook(WebhookStatus):
    secret: str = Field(description="Verifies signatures. Only this response contains it.")


class WebhookList(WireResponse):
    webhooks: list[WebhookStatus]


class DeliveryStatus(WireResponse):
    id: int
    message_id: str = Field(description="The header `webhook-id` of the message.")
    event: str
    state: Literal["pending", "delivered", "failed"]
    num_attempts: int
    created_at: AwareDatetime
    attempted_at: AwareDatetime | None = Field(description="Time of the last attempt.")
    next_attempt_at: AwareDatetime | None
    status: int | None = Field(description="HTTP status of the last attempt.")
    reason: str | None = Field(description="Why the last attempt failed.")


class DeliveryList(WireResponse):
    deliveries: list[DeliveryStatus]
    next: str | None = Field(description="Path of the next page.")
