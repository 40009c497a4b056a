"""Destination: publishes prefix files to a running server or into a store folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import httpx

from prefixes import PrefixError, PrefixRef
from prefixes.registry import Actor, PublishedVersion, open_registry
from training.errors import PublishFailed
from training.results.finish import FinishedPrefix

_TIMEOUT_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Destination:
    """A place to publish prefixes: the URL of a running server, or a store folder.

    `key` is the tenant's API key; a folder needs none. If `alias` is given, it points to the new
    version. A task's first version becomes `live` in any case.
    """

    target: str
    key: str = ""
    alias: str | None = None

    @property
    def is_server(self) -> bool:
        return self.target.startswith(("http://", "https://"))

    def check(self, task: str) -> None:
        """Check that a prefix of `tenant/task` can be published here.

        Raises:
            PublishFailed: when the server or folder is unavailable, or the key is rejected.
        """
        if not self.is_server:
            with _errors_named(self.target):
                open_registry(Path(self.target)).close()
            return
        # An upload without a file: only a valid key gets as far as 422, for the missing file.
        reply = self._upload(PrefixRef.parse(task), {"nothing": (None, "")})
        if reply.status_code != HTTPStatus.UNPROCESSABLE_ENTITY:
            raise self._rejection(reply, task)

    def publish(self, finished: FinishedPrefix, task: str) -> str:
        """Publish a file as the next version of `tenant/task`; return its reference.

        Raises:
            PublishFailed: with the reason that the server or the store gives.
        """
        reference = PrefixRef.parse(task)
        if not self.is_server:
            with _errors_named(self.target):
                return str(self._store(finished, reference).version.ref)
        form: dict[str, Any] = {
            "file": (f"{reference.task}.safetensors", finished.data),
            **({} if self.alias is None else {"alias": (None, self.alias)}),
        }
        reply = self._upload(reference, form)
        if not reply.is_success:
            raise self._rejection(reply, task)
        with _errors_named(self.target):
            return str(reply.json()["ref"])

    def _store(self, finished: FinishedPrefix, reference: PrefixRef) -> PublishedVersion:
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
                    by=Actor("polyprefix train"),
                )
        finally:
            registry.close()

    def _upload(self, reference: PrefixRef, form: dict[str, Any]) -> httpx.Response:
        path = f"/v1/tenants/{reference.tenant}/prefixes/{reference.task}/versions"
        with _errors_named(self.target):
            return httpx.post(
                self.target.rstrip("/") + path,
                headers={"Authorization": f"Bearer {self.key}"} if self.key else {},
                timeout=_TIMEOUT_SECONDS,
                files=form,
            )

    def _rejection(self, reply: httpx.Response, task: str) -> PublishFailed:
        return PublishFailed(f"{self.target} rejected {task}: {_reason(reply)}")


@contextmanager
def _errors_named(target: str) -> Iterator[None]:
    """Add the place to the message of errors of the network or the registry."""
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, PrefixError, ValueError) as error:
        raise PublishFailed(f"Publishing to {target} failed: {error}") from error


def _reason(reply: httpx.Response) -> str:
    """Describe a problem document; for another body, such as a proxy's, return the status."""
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
