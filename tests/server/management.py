"""Requests that tests of tenants, keys, sharing and the audit log send."""

from typing import Any, Final

import httpx

from tests.server.rest import Rest

CLASSIFY: Final = {"model": "acme/mood", "input": "good"}


def manage(rest: Rest, method: str, path: str, key: str | None = "operator", **how: Any) -> Any:
    """Send a request that succeeds, and return its JSON."""
    response = rest.call(method, f"/v1{path}", key, **how)
    assert response.is_success, response.text
    return response.json() if response.content else None


def status_of(rest: Rest, key: str, body: dict[str, Any] = CLASSIFY) -> int:
    """Classify with a key, and return the status."""
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.post(f"{rest.url}/v1/classify", headers=headers, json=body).status_code


def issue(rest: Rest, tenant: str, role: str = "infer", **fields: Any) -> dict[str, Any]:
    """Issue a key of a tenant."""
    made: dict[str, Any] = manage(
        rest, "POST", f"/tenants/{tenant}/keys", json={"role": role, **fields}
    )
    return made
