"""Publisher: publishes version after version of a task, and remembers what was acknowledged."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import httpx

from prefixes import BackboneFingerprint
from tests.chaos.numbered import MAX_VERSIONS, numbered_prefix
from tests.chaos.servers import SharingServer

_PAUSE: Final = 0.5
_TIMEOUT: Final = 60.0


@dataclass(slots=True, eq=False)
class Publisher:
    """Publishes versions of a task in turn at all servers, until `stop`.

    The label of a version depends on its number. A request without a response may have published
    one or not, so the next number is asked for.
    """

    servers: Sequence[SharingServer]
    key: str
    tenant: str
    task: str
    backbone: BackboneFingerprint
    acknowledged: list[int] = field(default_factory=list)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._publish_all, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def publish(self, client: httpx.Client, server: SharingServer) -> bool:
        """Publish the next version as `live`; return whether that was acknowledged."""
        number = max(self.versions(client, server), default=0) + 1
        data = numbered_prefix(self.backbone, number).to_bytes()
        answer = client.post(
            f"{server.url}{self._path}/versions",
            files={"file": ("prefix.safetensors", data)},
            data={"alias": "live"},
        )
        if answer.status_code == 201:
            self.acknowledged.append(int(answer.json()["version"]))
        return answer.status_code == 201

    def versions(self, client: httpx.Client, server: SharingServer) -> list[int]:
        """Return the versions that the registry has."""
        answer = client.get(f"{server.url}{self._path}")
        if answer.status_code == 404:
            return []
        return [one["version"] for one in answer.raise_for_status().json()["versions"]]

    def client(self) -> httpx.Client:
        return httpx.Client(headers={"Authorization": f"Bearer {self.key}"}, timeout=_TIMEOUT)

    @property
    def _path(self) -> str:
        return f"/v1/tenants/{self.tenant}/prefixes/{self.task}"

    def _publish_all(self) -> None:
        turn = 0
        with self.client() as client:
            while not self._stopped.wait(_PAUSE) and len(self.acknowledged) < MAX_VERSIONS // 2:
                turn += 1
                try:
                    self.publish(client, self.servers[turn % len(self.servers)])
                except httpx.HTTPError:
                    continue  # the server or the database is away
