"""Faults that can be injected into servers which share a database, and ended again."""

import contextlib
import os
import resource
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from tests.chaos.clocks import Clock
from tests.chaos.links import Link
from tests.chaos.servers import SharingServer
from tests.postgresql import PostgresServer
from tests.seaweedfs import SeaweedServer
from tests.tcp_proxy import FaultyProxy

_MIB: Final = 2**20


class Fault(Protocol):
    """Something that goes wrong, and ends."""

    @property
    def kind(self) -> str:
        """The name of all faults like this one."""

    @property
    def name(self) -> str: ...
    @property
    def ends(self) -> int | None:
        """The number of the server that it ends; None: requests get responses all the time."""

    def inject(self) -> None: ...
    def heal(self) -> None:
        """End it. Afterwards, everything must work again within seconds."""


@dataclass(frozen=True, slots=True)
class KilledServer:
    """A server is killed with SIGKILL, and started again."""

    servers: Sequence[SharingServer]
    ends: int
    kind: str = "server killed"

    @property
    def name(self) -> str:
        return f"server {self.ends} killed"

    def inject(self) -> None:
        self.servers[self.ends].kill()

    def heal(self) -> None:
        self.servers[self.ends].launch()


@dataclass(frozen=True, slots=True)
class _Harmless:
    """A fault that ends no server."""

    kind: str
    ends: None = field(default=None, init=False)

    @property
    def name(self) -> str:
        return self.kind


@dataclass(frozen=True, slots=True)
class StoppedService(_Harmless):
    """PostgreSQL or the S3 service is stopped, which ends all connections, and started again."""

    service: PostgresServer | SeaweedServer

    def inject(self) -> None:
        self.service.stop()

    def heal(self) -> None:
        self.service.start()


@dataclass(frozen=True, slots=True)
class FullDisk(_Harmless):
    """The disk of the servers' folders is full. They must be on a small disk of their own."""

    folder: Path

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"

    def inject(self) -> None:
        with contextlib.suppress(OSError), self._ballast.open("wb", buffering=0) as file:
            while file.write(b"\0" * _MIB):
                os.fsync(file.fileno())

    def heal(self) -> None:
        self._ballast.unlink()


@dataclass(frozen=True, slots=True)
class SlowStore(_Harmless):
    """Each part of a reply of the store comes late."""

    proxies: Sequence[FaultyProxy]
    delay: float = 0.5

    def inject(self) -> None:
        for proxy in self.proxies:
            proxy.reply_delay = self.delay

    def heal(self) -> None:
        for proxy in self.proxies:
            proxy.reply_delay = 0.0


@dataclass(frozen=True, slots=True)
class TruncatingStore(_Harmless):
    """The replies of the store end after some bytes, and so do their connections."""

    proxies: Sequence[FaultyProxy]
    num_bytes: int = 2000

    def inject(self) -> None:
        for proxy in self.proxies:
            proxy.max_reply_bytes = self.num_bytes
            proxy.drop_connections()

    def heal(self) -> None:
        for proxy in self.proxies:
            proxy.max_reply_bytes = None


@dataclass(frozen=True, slots=True)
class NetworkSplit(_Harmless):
    """A server cannot reach the database and the store: its packets are lost."""

    link: Link

    def inject(self) -> None:
        self.link.cut()

    def heal(self) -> None:
        self.link.join()


@dataclass(frozen=True, slots=True)
class ClockJump(_Harmless):
    """The wall clock of a server jumps by some seconds, and back."""

    clock: Clock
    seconds: int

    def inject(self) -> None:
        self.clock.shift(self.seconds)

    def heal(self) -> None:
        self.clock.shift(0)


@dataclass(frozen=True, slots=True)
class ScarceMemory(_Harmless):
    """A server gets only a little more memory from the system.

    Without any, Linux would kill it, which is another fault.
    """

    server: SharingServer
    num_bytes: int = 16 * _MIB

    def inject(self) -> None:
        self._limit(_data_bytes(self.server.pid) + self.num_bytes)

    def heal(self) -> None:
        self._limit(resource.RLIM_INFINITY)

    def _limit(self, num_bytes: int) -> None:
        limits = (num_bytes, resource.RLIM_INFINITY)
        resource.prlimit(self.server.pid, resource.RLIMIT_DATA, limits)


def _data_bytes(pid: int) -> int:
    """Return the private memory of a process, which RLIMIT_DATA limits."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (line,) = (one for one in status.splitlines() if one.startswith("VmData:"))
    return int(line.split()[1]) * 1024
