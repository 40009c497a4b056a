"""Tenants of single tests, so that what one test changes is not what another one sees."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from tests.console.site import EXAMPLES, Site

SPAM: Final = EXAMPLES / "spam.safetensors"


@dataclass(frozen=True)
class Tenant:
    """A tenant with an admin's key."""

    url: str
    name: str
    key: str

    def publish(self, task: str) -> None:
        """Publish the example for spam as a task, with the alias `live`."""
        self.call(
            "POST",
            f"/prefixes/{task}/versions",
            files={"file": ("prefix.safetensors", SPAM.read_bytes())},
            data={"alias": "live"},
        )

    def classify(self, task: str, *texts: str) -> None:
        """Send texts, which are recorded if the tenant records answers."""
        body = {"model": f"{self.name}/{task}", "input": list(texts)}
        self.send("POST", "/v1/classify", json=body).raise_for_status()

    def call(self, method: str, path: str, **how: Any) -> Any:
        """Send a request about the tenant that succeeds, and return its JSON."""
        response = self.send(method, f"/v1/tenants/{self.name}{path}", **how)
        assert response.is_success, response.text
        return response.json() if response.content else None

    def send(self, method: str, path: str, **how: Any) -> httpx.Response:
        """Send a request with the key."""
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.request(method, f"{self.url}{path}", headers=headers, timeout=120, **how)


def new_tenant(site: Site, name: str) -> Tenant:
    """Create a tenant that no other test uses."""
    with site.client("operator") as operator:
        operator.post("/v1/tenants", json={"name": name}).raise_for_status()
        body: Mapping[str, str] = {"role": "admin", "label": "Ada"}
        made = operator.post(f"/v1/tenants/{name}/keys", json=body).raise_for_status().json()
    return Tenant(site.url, name, made["key"])
