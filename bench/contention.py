"""Contention: speed and latency while other processes use the same cores."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench.contenders import Worker, WorkerFailed
from bench.environments import EnvironmentUnavailable, environment
from bench.figures import Figure, quantile
from bench.kernels import KernelSettings
from bench.rounds import alternate
from bench.throughput import PREFIX_LENGTH
from bench.workloads import Workload

BUSY: Final = (0, 1, 2, 5)
"""Numbers of background processes that use all of a core if they get it."""

_NUM_TASKS: Final = 200
_SETTLE: Final = 0.3
"""Seconds until background processes have started."""

PROGRAMS: Final = {
    "ours": ("contended_packed", None),
    "OpenVINO": ("contended_open_vino", "runtimes"),
    "ONNX Runtime": ("contended_onnx_runtime", "runtimes"),
}
"""The worker's script and its environment (None: ours)."""

LOADS: Final[dict[str, dict[str, int]]] = {
    "two batches of 8 in flight": {"batch": 8, "callers": 2},
    "one text at a time": {"batch": 1, "callers": 1},
}


@dataclass(frozen=True, slots=True)
class Contention:
    """One backbone in float32, and the texts of all contenders."""

    folder: Path
    workload: Workload
    rounds: int
    num_threads: int
    kernels: KernelSettings
    seconds: float = 1.0

    def group(self, load: str) -> str:
        return f"{self.folder.name}, float32, contention, {load}"

    @property
    def layouts(self) -> dict[str, int]:
        """Return the number of streams of each layout: all threads together, or one in each."""
        return {
            f"{_number(num, 'stream')} of {_number(self.num_threads // num, 'thread')}": num
            for num in (1, self.num_threads)
        }


@dataclass(frozen=True, slots=True)
class Case:
    """A program in a layout of its threads, under a load, next to `num_busy` processes."""

    program: str
    layout: str
    load: str
    num_busy: int

    @property
    def name(self) -> str:
        return f"{self.program}, {self.layout}, {self.num_busy} busy"


@dataclass(frozen=True, slots=True)
class Round:
    """The speed in texts per second, and the latency of each text in seconds."""

    speed: float
    latencies: Sequence[float]


Rounds = Mapping[Case, Sequence[Round]]


def contend(contention: Contention, report: Callable[[str], None]) -> Iterator[list[Figure]]:
    """Measure every program in every layout, with and without background processes, by load."""
    absent: dict[str, str] = {}
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for program in PROGRAMS:
            report(f"{contention.folder.name}, contention: loading {program}")
            try:
                workers[program] = _start(stack, contention, program)
            except (WorkerFailed, EnvironmentUnavailable) as error:
                absent[program] = str(error)
        for load in LOADS:
            yield list(_contend(contention, workers, load, report))
    if absent:
        group = contention.group("all loads")
        yield [Figure.absent(group, name, "texts/s", reason) for name, reason in absent.items()]


def _contend(
    contention: Contention,
    workers: Mapping[str, Worker],
    load: str,
    report: Callable[[str], None],
) -> Iterator[Figure]:
    group = contention.group(load)
    rounds, failures = alternate(
        {
            case: partial(_run, workers[case.program], case)
            for program in workers
            for case in _cases(contention, program, load)
        },
        contention.rounds,
        failure=WorkerFailed,
        report=lambda case: report(f"{group}: {case.name}"),
    )
    yield from _speeds(group, rounds)
    yield from _ratios(group, rounds)
    for case, reason in failures.items():
        yield Figure.absent(group, case.name, "texts/s", reason)


def _start(stack: ExitStack, contention: Contention, program: str) -> Worker:
    script, peers = PROGRAMS[program]
    programs = Path(sys.executable).parent if peers is None else environment(peers)
    worker = Worker(programs / "python", script, num_threads=contention.num_threads)
    stack.enter_context(worker)
    worker.load(_job(contention))
    return worker


def _job(contention: Contention) -> dict[str, Any]:
    return {
        "model": str(contention.folder),
        "dtype": "float32",
        "threads": contention.num_threads,
        "kernels": contention.kernels.job(),
        "seconds": contention.seconds,
        "prefix_length": PREFIX_LENGTH,
        "num_tasks": _NUM_TASKS,
        "tokens": contention.workload.tokens,
        "tasks": [task % _NUM_TASKS for task in contention.workload.uniform],
        "layouts": contention.layouts,
        "loads": LOADS,
    }


def _cases(contention: Contention, program: str, load: str) -> Iterator[Case]:
    for num_busy in BUSY:
        for layout in contention.layouts:
            yield Case(program, layout, load, num_busy)


def _run(worker: Worker, case: Case) -> Round:
    with busy_processes(case.num_busy):
        seconds, latencies = worker.run_timed(case.load, case.layout)
    return Round(len(latencies) / seconds, latencies)


@contextmanager
def busy_processes(count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Keep `count` processes busy until the block ends."""
    processes: list[subprocess.Popen[bytes]] = []
    with ExitStack() as stack:
        for _ in range(count):
            process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            processes.append(process)
            stack.callback(process.wait)
            stack.callback(process.kill)
        if count:
            time.sleep(_SETTLE)
        yield processes


def _speeds(group: str, rounds: Rounds) -> Iterator[Figure]:
    for case, measured in rounds.items():
        speeds = [each.speed for each in measured]
        yield Figure.of_rounds(group, case.name, "texts/s", speeds)
        for share in (0.5, 0.99):
            # The quantile of all rounds, since a round under contention has few batches.
            value = 1000 * _latency(measured, share)
            yield Figure(group, f"{case.name}: p{100 * share:.0f}", "ms", value)


def _latency(rounds: Sequence[Round], share: float) -> float:
    return quantile([latency for each in rounds for latency in each.latencies], share)


def _ratios(group: str, rounds: Rounds) -> Iterator[Figure]:
    """Compare each case with the same contender and load without background processes."""
    kept = {case: kept_speed(rounds, case) for case in rounds if case.num_busy}
    for case, ratios in kept.items():
        name = f"{case.name} / idle machine"
        yield Figure.of_rounds(group, f"{name}: texts/s", "times", ratios)
        idle = rounds[_idle(case)]
        for share in (0.5, 0.99):
            ratio = _latency(rounds[case], share) / _latency(idle, share)
            yield Figure(group, f"{name}: p{100 * share:.0f}", "times", ratio)


def kept_speed(rounds: Rounds, case: Case) -> list[float]:
    """Return the share of its speed on an idle machine that a contender keeps, by round."""
    pairs = zip(rounds[case], rounds[_idle(case)], strict=True)
    return [busy.speed / idle.speed for busy, idle in pairs]


def _idle(case: Case) -> Case:
    return Case(case.program, case.layout, case.load, 0)


def _number(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
