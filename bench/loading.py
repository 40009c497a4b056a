"""Loading a backbone: time and memory with plain kernels, with measured and with cached ones."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from bench.contenders import Worker, WorkerFailed
from bench.figures import Bound, Figure
from bench.kernels import KernelSettings, cached_names
from bench.rounds import alternate
from bench.serving import Serving

PLAIN: Final = "plain kernels"
MEASURED: Final = "kernels measured"
CACHED: Final = "kernels cached"

_MOST_ADDED: Final = {MEASURED: 2.0, CACHED: 0.1}
"""Maximum seconds that the choice of kernels adds to a start."""

_MAX_GROWTH: Final = 1.05
"""Maximum memory of a backbone in relation to plain kernels."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The seconds of loading a backbone in a new process, and the memory that it takes."""

    seconds: float
    memory_bytes: int


def loading(serving: Serving, folder: Path, report: Callable[[str], None]) -> Iterator[Figure]:
    """Load a backbone in new processes, in turns with each way to choose its kernels."""
    group = f"{serving.backbone}, {serving.dtype}, loading"
    fresh, kept = folder / "fresh-kernels.json", folder / "kept-kernels.json"

    def measured() -> Loaded:
        fresh.unlink(missing_ok=True)
        return _load(serving, KernelSettings.automatic(fresh))

    ways: dict[str, Callable[[], Loaded]] = {
        PLAIN: partial(_load, serving, KernelSettings.plain(fresh)),
        MEASURED: measured,
        # The round that warms up fills this cache.
        CACHED: partial(_load, serving, KernelSettings.automatic(kept)),
    }
    loads, failures = alternate(
        ways,
        serving.rounds,
        failure=WorkerFailed,
        report=lambda name: report(f"{group}: {name}"),
    )
    for name, reason in failures.items():
        yield Figure.absent(group, name, "s", reason)
    if not failures:
        chosen = cached_names(kept, serving.dtype)
        for name, rounds in loads.items():
            seconds = [each.seconds for each in rounds]
            kernels = {} if name == PLAIN else chosen
            yield Figure.of_rounds(group, name, "s", seconds, kernels=kernels)
        yield from loading_ratios(group, loads)


def loading_ratios(group: str, loads: dict[str, list[Loaded]]) -> Iterator[Figure]:
    """Compare the loads of each round with those with plain kernels."""
    plain = loads[PLAIN]
    for name, most in _MOST_ADDED.items():
        added = [own.seconds - other.seconds for own, other in zip(loads[name], plain, strict=True)]
        yield Figure.of_rounds(group, f"added by {name}", "s", added, Bound(most, "at most"))
    sizes = [one.memory_bytes / 2**20 for one in plain]
    yield Figure.of_rounds(group, f"memory, {PLAIN}", "MiB", sizes)
    for name in (MEASURED, CACHED):
        sizes = [one.memory_bytes / 2**20 for one in loads[name]]
        yield Figure.of_rounds(group, f"memory, {name}", "MiB", sizes)
        growth = [
            own.memory_bytes / other.memory_bytes
            for own, other in zip(loads[name], plain, strict=True)
        ]
        bound = Bound(_MAX_GROWTH, "at most")
        yield Figure.of_rounds(group, f"memory, {name} / plain", "times", growth, bound)


def _load(serving: Serving, kernels: KernelSettings) -> Loaded:
    """Load in a new process, and run one text, so that all weights are in memory."""
    job = {
        "model": str(serving.folder),
        "dtype": serving.dtype,
        "threads": serving.num_threads,
        "kernels": kernels.job(),
        "tokens": serving.workload.tokens[0],
    }
    with Worker(sys.executable, "loading", num_threads=serving.num_threads) as worker:
        worker.load(job)
        before = worker.resident_bytes()
        seconds, _ = worker.run("loading", "load")
        worker.run("loading", "pass")
        return Loaded(seconds, worker.resident_bytes() - before)
