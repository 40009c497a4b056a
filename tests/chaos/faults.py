"""Faults that can be injected into servers which share a database, and healed again."""

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from tests.chaos.servers import SharingServer
from tests.postgresql import PostgresServer

_MIB: Final = 2**20


class Fault(Protocol):
    """Something that goes wrong, and ends."""

    @property
    def name(self) -> str: ...
    @property
    def kills(self) -> int | None:
        """The number of the server that it kills; None: requests get responses all the time."""

    def inject(self) -> None: ...
    def heal(self) -> None:
        """End it. Afterwards, everything must work again within seconds."""


@dataclass(frozen=True, slots=True)
class KilledServer:
    """A server is killed with SIGKILL, and started again."""

    servers: Sequence[SharingServer]
    kills: int

    @property
    def name(self) -> str:
        return f"server {self.kills} killed"

    def inject(self) -> None:
        self.servers[self.kills].kill()

    def heal(self) -> None:
        self.servers[self.kills].start()


@dataclass(frozen=True, slots=True)
class StoppedDatabase:
    """PostgreSQL is stopped, which ends all connections, and started again."""

    database: PostgresServer
    name: str = "database stopped"
    kills: int | None = None

    def inject(self) -> None:
        self.database.stop()

    def heal(self) -> None:
        self.database.start()


@dataclass(frozen=True, slots=True)
class FullDisk:
    """The disk of the store folder is full. The folder must be on a small disk of its own."""

    folder: Path
    name: str = "disk full"
    kills: int | None = None

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"

    def inject(self) -> None:
        with contextlib.suppress(OSError), self._ballast.open("wb", buffering=0) as file:
            while file.write(b"\0" * _MIB):
                os.fsync(file.fileno())

    def heal(self) -> None:
        self._ballast.unlink()
