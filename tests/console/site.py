"""A server with something on every screen of the console: MiniLM, the examples, and a tenant."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from prefixes import BackboneFingerprint, Prefix
from prefixes.registry import ApiKeys, open_registry
from prefixes.spec import TaskType
from tests.factories import make_prefix
from tests.server.hosting.processes import ROOT, server_process

EXAMPLES: Final = ROOT / "examples" / "prefixes"
SPAM: Final = EXAMPLES / "spam.safetensors"


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
    spam = Prefix.load(SPAM)
    fingerprint = spam.spec.backbone
    files = [
        ("spam", SPAM.read_bytes(), "live"),
        ("spam", changed(spam).to_bytes(), None),
        ("entities", _random(fingerprint, "token_classification"), "live"),
        ("facts", _random(fingerprint, "question_answering"), "live"),
    ]
    with site.client("upload") as client:
        for task, data, alias in files:
            response = client.post(
                f"/v1/tenants/acme/prefixes/{task}/versions",
                files={"file": ("prefix.safetensors", data)},
                data={} if alias is None else {"alias": alias},
            )
            response.raise_for_status()


def _random(fingerprint: BackboneFingerprint, task_type: TaskType) -> bytes:
    return make_prefix(fingerprint, seed=3, task_type=task_type).to_bytes()


def changed(prefix: Prefix, *, scale: float = 0.5) -> Prefix:
    """Return a version that is less certain, without golden examples, which would not fit it."""
    tensors = {
        name: tensor * scale if name.startswith("head.output") else tensor
        for name, tensor in prefix.tensors.items()
    }
    return Prefix(prefix.spec.model_copy(update={"golden": ()}), tensors)
