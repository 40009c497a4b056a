"""Training: speed and memory of training prefixes, compared with PEFT."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench.contenders import Facts, Place, Worker, WorkerFailed
from bench.environments import EnvironmentUnavailable, environment
from bench.figures import Bound, Figure, speed_ratios
from bench.kernels import KernelSettings
from bench.processor import Processor
from bench.rounds import alternate
from bench.throughput import PREFIX_LENGTH
from bench.workloads import ALL_LENGTHS, SHORT_TEXTS, Workload

OURS: Final = "one run"
PLAIN: Final = "one run, plain kernels"
PEFT: Final = "PEFT"
CONFIGURATIONS: Final = 8
TOGETHER: Final = f"{CONFIGURATIONS} configurations"
MORE_ROWS: Final = f"one run, {CONFIGURATIONS} times the rows"
SEPARATE: Final = f"{CONFIGURATIONS} runs, one after another"

REQUIRED: Final = {
    ("float32", ALL_LENGTHS): 3.5,
    ("float32", SHORT_TEXTS): 2.2,
    ("bfloat16", ALL_LENGTHS): 3,
    ("bfloat16", SHORT_TEXTS): 2,
}
"""The required speedup over PEFT by number type and workload."""

_NUM_LABELS: Final = 6
_BATCH: Final = 32


@dataclass(frozen=True, slots=True)
class Learning:
    """One backbone in one precision, and the texts that all contenders train on."""

    backbone: str
    folder: Path
    dtype: str
    workloads: Sequence[Workload]
    rounds: int
    num_threads: int
    kernels: KernelSettings

    def group(self, workload: str) -> str:
        return f"{self.backbone}, {self.dtype}, training, {workload}"

    def job(self, contenders: Sequence[str]) -> dict[str, Any]:
        """Describe the job of a worker. The labels are arbitrary, since the result is not used."""
        return {
            "model": str(self.folder),
            "dtype": self.dtype,
            "threads": self.num_threads,
            "kernels": self.kernels.job(),
            "batch": _BATCH,
            "prefix_length": PREFIX_LENGTH,
            "num_labels": _NUM_LABELS,
            "num_configurations": CONFIGURATIONS if len(contenders) > 1 else 1,
            "contenders": list(contenders),
            "workloads": {
                work.name: {
                    "texts": work.texts,
                    "tokens": work.tokens,
                    "labels": [place % _NUM_LABELS for place in range(len(work.texts))],
                }
                for work in self.workloads
            },
        }


@dataclass(frozen=True, slots=True)
class _Family:
    """A worker's script, its environment (None: ours), and its contenders."""

    script: str
    environment: str | None
    contenders: tuple[str, ...]

    def start(self, learning: Learning) -> Worker:
        programs = Path(sys.executable).parent
        if self.environment is not None:
            programs = environment(self.environment)
        return Worker(programs / "python", self.script, num_threads=learning.num_threads)


_FAMILIES: Final = (
    _Family("prefix_training", None, (OURS, PLAIN, TOGETHER, MORE_ROWS, SEPARATE)),
    _Family("peft_training", "peft", (PEFT,)),
)
_FAILURES: Final = (WorkerFailed, EnvironmentUnavailable)


def learn(learning: Learning, report: Callable[[str], None]) -> Iterator[Figure]:
    """Train all contenders on the same texts in turns, then each alone to measure its memory."""
    seconds, facts, absent = _seconds(learning, report)
    for work in learning.workloads:
        mine = {name: each for (at, name), each in seconds.items() if at == work.name}
        yield from _speeds(learning.group(work.name), work, mine, facts)
        required = Bound(REQUIRED[learning.dtype, work.name], applies=Processor.here().meets_bounds)
        yield from _ratios(learning.group(work.name), mine, absent, required)
    yield from _peaks(learning, report)


def _seconds(
    learning: Learning, report: Callable[[str], None]
) -> tuple[dict[Place, list[float]], dict[Place, Facts], str | None]:
    """Measure a pass over the rows in turns; also return the reasons of failures."""
    reasons: list[str] = []
    facts: dict[Place, Facts] = {}
    with ExitStack() as stack:
        passes: dict[Place, Callable[[], float]] = {}
        for family in _FAMILIES:
            report(f"{learning.backbone} {learning.dtype}: loading {family.script}")
            try:
                worker = stack.enter_context(family.start(learning))
                found = worker.load(learning.job(family.contenders))
            except _FAILURES as error:
                reasons.append(str(error))
            else:
                facts |= found
                passes |= {place: partial(_pass, worker, *place) for place in found}
        seconds, failures = alternate(
            passes,
            learning.rounds,
            failure=WorkerFailed,
            report=lambda place: report(f"{learning.group(place[0])}: {place[1]}"),
        )
    return seconds, facts, "; ".join([*reasons, *failures.values()]) or None


def _pass(worker: Worker, workload: str, contender: str) -> float:
    return worker.run(workload, contender)[0]


def _speeds(
    group: str,
    work: Workload,
    seconds: Mapping[str, Sequence[float]],
    facts: Mapping[Place, Facts],
) -> Iterator[Figure]:
    for name, rounds in seconds.items():
        rows = len(work.texts) * (1 if name in {OURS, PLAIN, PEFT} else CONFIGURATIONS)
        speeds = [rows / each for each in rounds]
        kernels = facts[work.name, name].kernels
        yield Figure.of_rounds(group, name, "texts/s", speeds, kernels=kernels)


def _ratios(
    group: str, seconds: Mapping[str, Sequence[float]], absent: str | None, required: Bound
) -> Iterator[Figure]:
    """Compare the speed with PEFT's and plain kernels', and the times of runs with each other."""
    for name, other, bound, is_speed in (
        (OURS, PEFT, required, True),
        (OURS, PLAIN, None, True),
        (TOGETHER, MORE_ROWS, Bound(1.3, "at most"), False),
        (TOGETHER, SEPARATE, Bound(1, "at most"), False),
    ):
        title = f"{name} / {other}: {'speed' if is_speed else 'time'}"
        if name in seconds and other in seconds:
            pair = (name, other) if is_speed else (other, name)
            rounds = speed_ratios(*(seconds[one] for one in pair))
            yield Figure.of_rounds(group, title, "times", rounds, bound or Bound.unchanged(rounds))
        else:
            yield Figure.absent(group, title, "times", absent or "not measured", bound)


def _peaks(learning: Learning, report: Callable[[str], None]) -> Iterator[Figure]:
    """Train with each contender alone in a new process, and measure its peak memory."""
    work = learning.workloads[0].name
    group = learning.group(f"{work}: memory")
    peaks: dict[str, int] = {}
    for family in _FAMILIES:
        name = family.contenders[0]
        report(f"{group}: {name}")
        try:
            with family.start(learning) as worker:
                worker.load(learning.job([name]))
                worker.run(work, name)
                peaks[name] = worker.peak_bytes()
        except _FAILURES as error:
            yield Figure.absent(group, name, "MiB", str(error))
        else:
            yield Figure(group, name, "MiB", peaks[name] / 2**20)
    if len(peaks) == len(_FAMILIES):
        bound = Bound(1, "at most")
        yield Figure(group, f"{OURS} / {PEFT}", "times", peaks[OURS] / peaks[PEFT], bound=bound)
