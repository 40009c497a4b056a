"""Signatures of messages, by the Standard Webhooks specification (version 1, symmetric)."""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping

_PREFIX = "whsec_"


def signed_headers(
    message_id: str, timestamp: int, body: bytes, secrets: Iterable[str]
) -> Mapping[str, str]:
    """Return the headers by which a receiver verifies a message.

    Args:
        message_id: the same for all attempts to deliver the message.
        timestamp: the time of this attempt, in seconds since the epoch.
        body: the bytes of the message.
        secrets: a signature is made with each of them, so that receivers can change secrets.
    """
    content = f"{message_id}.{timestamp}.".encode() + body
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(_signature(secret, content) for secret in secrets),
    }


def _signature(secret: str, content: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    digest = hmac.new(key, content, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"
