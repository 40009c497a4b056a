"""Signatures, compared with the specification and with another implementation."""

import base64
import secrets
import time

import openai
import pytest

from server.webhooks.signing import signed_headers


def test_the_signature_is_that_of_the_specifications_own_example() -> None:
    headers = signed_headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_another_implementation_accepts_either_secret_and_nothing_changed() -> None:
    new, old, other = (
        f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}" for _ in range(3)
    )
    body = '{"type":"alias.moved","data":{"task":"gemüt"}}'
    moment = int(time.time())
    headers = signed_headers("msg_1", moment, body.encode(), [new, old])
    verify = openai.OpenAI(api_key="none").webhooks.verify_signature
    for secret in (new, old):
        verify(body, headers, secret=secret)
    changes = (
        (body.replace("moved", "loved"), headers, new),
        (body, {**headers, "webhook-timestamp": str(moment + 1)}, new),
        (body, {**headers, "webhook-id": "msg_2"}, new),
        (body, headers, other),
    )
    for changed, sent, secret in changes:
        with pytest.raises(openai.InvalidWebhookSignatureError):
            verify(changed, sent, secret=secret)
