"""Real servers that stand for replicas: each a process with one thread, on a core of its own."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.request import urlopen

from bench.processes import Server, server_process
from bench.stores import Store

_TOTALS: Final = {
    "batches": "polyprefix_batch_rows_count",
    "rows": "polyprefix_batch_rows_sum",
    "tokens": "polyprefix_batch_tokens_sum",
    "loads": "polyprefix_prefix_load_seconds_count",
    "load_seconds": "polyprefix_prefix_load_seconds_sum",
}


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts of a server since its start, the seconds of its loads, and the CPU seconds it used."""

    batches: float
    rows: float
    tokens: float
    loads: float
    load_seconds: float
    cpu: float

    def __sub__(self, earlier: "Totals") -> "Totals":
        return Totals(*(
            getattr(self, name) - getattr(earlier, name) for name in self.__dataclass_fields__
        ))  # fmt: skip


@dataclass(frozen=True, slots=True)
class ReplicaServer:
    """A server of a store, on one core."""

    server: Server
    store: Store

    def totals(self) -> Totals:
        url = f"http://{self.server.host}:{self.server.port}/metrics"
        with urlopen(url, timeout=30) as answer:
            text = answer.read().decode()
        found = {field: _value(text, metric) for field, metric in _TOTALS.items()}
        return Totals(**found, cpu=self.server.cpu_seconds())


@contextmanager
def replica_server(
    folder: Path, store: Store, *, core: int, resident_mib: int
) -> Iterator[ReplicaServer]:
    """Serve a store with one thread on one core, and `resident_mib` for prefixes."""
    flags = {"store-folder": store.folder, "backbone": folder, "dtype": "float32", "port": 0}
    flags |= {"device": "cpu", "num-threads": 1}
    serving = server_process(
        [
            *("env", f"POLYPREFIX_RESIDENT_MIB={resident_mib}", "taskset", "-c", str(core)),
            *(sys.executable, "-m", "server", "serve"),
            *(f"--{name}={value}" for name, value in flags.items()),
        ],
        num_threads=1,
        announced=r"listens on http://[^\s:]+:(\d+)",
        ready="/readyz",
    )
    with serving as server:
        yield ReplicaServer(server, store)


def _value(text: str, metric: str) -> float:
    return sum(
        float(value)
        for value in re.findall(rf"^{metric}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
    )
