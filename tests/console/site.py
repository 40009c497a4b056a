"""A server with something on every screen of the console: MiniLM, the examples, and a tenant."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from prefixes import Prefix
from prefixes.registry import ApiKeys, open_registry
from tests.factories import make_prefix
from tests.server.hosting.processes import ROOT, server_process

EXAMPLES: Final = ROOT / "examples" / "prefixes"


@dataclass(frozen=True)
class Site:
    """A running server, and keys of the tenant `acme` by role."""

    url: str
    keys: dict[str, str]

    def client(self, role: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.keys[role]}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60)


@contextmanager
def serving_site(store: Path) -> Iterator[Site]:
    """Serve the examples, and tasks of other types for the tenant acme."""
    registry = open_registry(store)
    registry.ensure_tenant("acme")
    issue = ApiKeys(registry.database).issue
    keys = {role: issue("acme", role, role=role).key for role in ("infer", "upload", "admin")}
    keys["operator"] = issue(None, "operator", role="operator").key
    registry.close()
    with server_process(store, "--examples-folder", str(EXAMPLES)) as (_, url):
        site = Site(url, keys)
        _publish(site)
        yield site


def _publish(site: Site) -> None:
    spam = Prefix.load(EXAMPLES / "spam.safetensors")
    made = {
        "entities": make_prefix(spam.spec.backbone, seed=3, task_type="token_classification"),
        "facts": make_prefix(spam.spec.backbone, seed=4, task_type="question_answering"),
    }
    files = {task: prefix.to_bytes() for task, prefix in made.items()}
    files["spam"] = (EXAMPLES / "spam.safetensors").read_bytes()
    with site.client("upload") as client:
        for task, data in files.items():
            response = client.post(
                f"/v1/tenants/acme/prefixes/{task}/versions",
                files={"file": ("prefix.safetensors", data)},
                data={"alias": "live"},
            )
            response.raise_for_status()
