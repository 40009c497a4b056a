"""Destination: publishes prefix files to a running server, or straight into a registry folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import httpx

from prefixes import PrefixError, PrefixRef
from prefixes.registry import Published, open_registry
from training.errors import PublishFailed
from training.results.finish import FinishedPrefix

_TIMEOUT_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Destination:
    """Where prefixes are published: the URL of a running server, or the folder of a registry.

    `key` is the tenant's API key; a folder needs none. `alias` points to the new version, where
    given; a task's first version is `live` anyway.
    """

    target: str
    key: str = ""
    alias: str | None = None

    @property
    def is_server(self) -> bool:
        return self.target.startswith(("http://", "https://"))

    def check(self, task: str) -> None:
        """Find out whether anything can be published here for `tenant/task`.

        Raises:
            PublishFailed: when the server or the folder cannot be reached, or refuses the key.
        """
        if not self.is_server:
            with _naming(self.target):
                open_registry(Path(self.target)).close()
            return
        # An upload without a file: the owner is told what it lacks, and nobody else gets that far.
        reply = self._upload(PrefixRef.parse(task), {"nothing": (None, "")})
        if reply.status_code != HTTPStatus.UNPROCESSABLE_ENTITY:
            raise self._refusal(reply, task)

    def publish(self, finished: FinishedPrefix, task: str) -> str:
        """Publish a file as the next version of `tenant/task`; returns the version's reference.

        Raises:
            PublishFailed: saying what the server or the folder objected to.
        """
        reference = PrefixRef.parse(task)
        if not self.is_server:
            with _naming(self.target):
                return str(self._store(finished, reference).version.ref)
        form: dict[str, Any] = {
            "file": (f"{reference.task}.safetensors", finished.data),
            **({} if self.alias is None else {"alias": (None, self.alias)}),
        }
        reply = self._upload(reference, form)
        if not reply.is_success:
            raise self._refusal(reply, task)
        with _naming(self.target):
            return str(reply.json()["ref"])

    def _store(self, finished: FinishedPrefix, reference: PrefixRef) -> Published:
        registry = open_registry(Path(self.target))
        try:
            if reference.tenant not in {tenant.name for tenant in registry.tenants()}:
                registry.ensure_tenant(reference.tenant)
            with registry.store.stage() as staged:
                staged.write(finished.data)
                return registry.publish(
                    reference.tenant,
                    reference.task,
                    staged,
                    finished.prefix,
                    alias=self.alias,
                    by="polyprefix train",
                )
        finally:
            registry.close()

    def _upload(self, reference: PrefixRef, form: dict[str, Any]) -> httpx.Response:
        path = f"/v1/tenants/{reference.tenant}/prefixes/{reference.task}/versions"
        with _naming(self.target):
            return httpx.post(
                self.target.rstrip("/") + path,
                headers={"Authorization": f"Bearer {self.key}"} if self.key else {},
                timeout=_TIMEOUT_SECONDS,
                files=form,
            )

    def _refusal(self, reply: httpx.Response, task: str) -> PublishFailed:
        return PublishFailed(f"{self.target} refused {task}: {_objection(reply)}")


@contextmanager
def _naming(target: str) -> Iterator[None]:
    """Tell failures of the network or the registry with the name of the place."""
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, PrefixError, ValueError) as error:
        raise PublishFailed(f"Publishing to {target} failed: {error}") from error


def _objection(reply: httpx.Response) -> str:
    """Read a problem document; whatever else a proxy may have sent is told by its status."""
    try:
        problem = reply.json()
        lines = [f"{problem['title']}: {problem['detail']}"]
        lines += [
            f"  {finding['subject']}: expected {finding['expected']}, found {finding['found']}"
            for finding in problem.get("findings") or ()
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"status {reply.status_code}"
    return "\n".join(lines)
