"""ServiceTimes: how long a server takes for batches, requests and loads of prefixes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

BATCH_ROWS: Final = 8
"""Texts of the batches at which the capacity of a replica is taken."""


@dataclass(frozen=True, slots=True)
class BatchTimes:
    """Seconds of a batch on the device: a fixed part, one for each text, and one for each token.

    `spread` has quantiles of measured times over fitted ones, at equal distances.
    """

    fixed: float
    per_row: float = 0.0
    per_token: float = 0.0
    spread: Sequence[float] = (1.0,)

    def seconds(self, rows: int, tokens: int) -> float:
        return self.fixed + self.per_row * rows + self.per_token * tokens


@dataclass(frozen=True, slots=True)
class LoopTimes:
    """Seconds of the event loop: before a text is queued, and for its response.

    With `shares_core`, loop and loads run on the core of the device and interrupt its batches.
    Otherwise they have a core of their own.
    """

    request: float = 0.0
    response: float = 0.0
    shares_core: bool = False


@dataclass(frozen=True, slots=True)
class LoadTimes:
    """Seconds of loading a prefix: from the store into host memory, and from there to the device.

    The processor is busy in `store_cpu` and `device_cpu` of these seconds. A file that the
    operating system does not have in memory takes `disk` more.
    """

    store: float = 0.0
    device: float = 0.0
    store_cpu: float = 0.0
    device_cpu: float = 0.0
    disk: float = 0.0

    def with_cold_files(self, remote: float = 0.0) -> "LoadTimes":
        """Return the times of files that are on disk, or `remote` more seconds away."""
        return replace(self, store=self.store + self.disk + remote, disk=0.0)


@dataclass(frozen=True, slots=True)
class ServiceTimes:
    """The times of one server.

    `lengths` are the numbers of tokens of typical texts. `client` is the CPU time that the client
    and the router spent on a request. `origin` says where and how the times were measured.
    """

    batch: BatchTimes
    loop: LoopTimes = LoopTimes()
    load: LoadTimes = LoadTimes()
    prefix_bytes: int = 1
    lengths: Sequence[int] = (20,)
    client: float = 0.0
    origin: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the file that `python -m bench.simulation measure` wrote."""
        values = json.loads(path.read_text(encoding="utf-8"))
        parts = {"batch": BatchTimes, "loop": LoopTimes, "load": LoadTimes}
        return cls(**{
            name: parts[name](**value) if name in parts else value
            for name, value in values.items()
        })  # fmt: skip

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @property
    def mean_length(self) -> float:
        return sum(self.lengths) / len(self.lengths)

    def capacity(self, rows: int) -> float:
        """Return the requests per second of a server whose batches all have `rows` texts."""
        device = self.batch.seconds(rows, round(rows * self.mean_length)) / rows
        loop = self.loop.request + self.loop.response
        return 1 / (device + loop if self.loop.shares_core else max(device, loop))
