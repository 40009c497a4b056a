"""Webhooks of tenants, and the deliveries of their events."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Webhook:
    """An endpoint that receives events."""

    id: str
    url: str
    events: tuple[str, ...]
    is_enabled: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewWebhook(Webhook):
    """A webhook with the secret that verifies its signatures. It cannot be read again."""

    secret: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """The delivery of an event. `status` and `reason` describe the last attempt."""

    id: int
    message_id: str
    event: str
    state: str
    num_attempts: int
    created_at: datetime
    attempted_at: datetime | None
    next_attempt_at: datetime | None
    status: int | None
    reason: str | None
