"""Publisher: publishes version after version of a task, and remembers what was acknowledged."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import httpx

from prefixes import BackboneFingerprint
from tests.chaos.numbered import numbered_prefix
from tests.chaos.servers import Address

TOKEN: Final = "Polyprefix-Registry-State"
_TIMEOUT: Final = 120.0


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A version that a server has published as `live`, the number of its file, and the token.

    Servers of earlier releases give no token.
    """

    version: int
    number: int
    token: str | None


@dataclass(slots=True, eq=False)
class Publisher:
    """Publishes versions of a task at all servers in turn, until `stop`.

    Every attempt has a number of its own, because one without a response may have published.
    `unacknowledged` has the numbers of the attempts that got none, or an error. `newest` has the
    newest version that each server has acknowledged.
    """

    servers: Sequence[Address]
    key: str
    tenant: str
    task: str
    backbone: BackboneFingerprint
    pause: float = 0.5
    acknowledged: list[Acknowledged] = field(default_factory=list)
    unacknowledged: set[int] = field(default_factory=set)
    newest: dict[int, int] = field(default_factory=dict)
    _num_attempts: int = 0
    _stopped: threading.Event = field(default_factory=threading.Event)
    _thread: Future[None] | None = None

    def start(self) -> None:
        pool = ThreadPoolExecutor(1)
        self._thread = pool.submit(self._publish_all)
        pool.shutdown(wait=False)

    def stop(self) -> None:
        """Stop publishing. Raises what the thread has raised."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.result()

    def publish(self, client: httpx.Client, server: int) -> bool:
        """Publish a version as `live`; return whether that was acknowledged."""
        self._num_attempts += 1
        number = self._num_attempts
        self.unacknowledged.add(number)
        answer = client.post(
            f"{self.servers[server].url}{self._path}/versions",
            files={
                "file": ("prefix.safetensors", numbered_prefix(self.backbone, number).to_bytes())
            },
            data={"alias": "live"},
        )
        if answer.status_code != 201:
            return False
        version, token = int(answer.json()["version"]), answer.headers.get(TOKEN)
        self.acknowledged.append(Acknowledged(version, number, token))
        self.newest[server] = version
        self.unacknowledged.discard(number)
        return True

    def versions(self, client: httpx.Client, server: int) -> set[int]:
        """Return the versions that a server lists."""
        answer = client.get(f"{self.servers[server].url}{self._path}").raise_for_status()
        return {one["version"] for one in answer.json()["versions"]}

    def client(self) -> httpx.Client:
        return httpx.Client(headers={"Authorization": f"Bearer {self.key}"}, timeout=_TIMEOUT)

    @property
    def _path(self) -> str:
        return f"/v1/tenants/{self.tenant}/prefixes/{self.task}"

    def _publish_all(self) -> None:
        turn = 0
        with self.client() as client:
            while not self._stopped.wait(self.pause):
                turn += 1
                try:
                    self.publish(client, turn % len(self.servers))
                except httpx.TransportError:
                    continue  # the server is away
