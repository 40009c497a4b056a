"""Throughput: the speed of every contender with the same texts, and their ratios."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench.backbones import NUM_LABELS
from bench.contenders import Worker, WorkerFailed
from bench.environments import EnvironmentUnavailable, environment
from bench.figures import Bound, Figure, speed_ratios
from bench.rounds import alternate
from bench.workloads import Workload

NUM_TASKS: Final = 1000
TASK_COUNTS: Final = (1, 8, 64, NUM_TASKS)
PREFIX_LENGTH: Final = 16
PREFIX_LENGTHS: Final = (8, 32, 128)
NUM_PER_LENGTH: Final = 16


@dataclass(frozen=True, slots=True)
class Family:
    """Contenders that share a worker: its script, environment (None: ours) and main contender."""

    script: str
    environment: str | None
    contender: str
    quantize: str | None = None


OURS: Final = f"{NUM_TASKS} prefixes"
FAMILIES: Final = {
    "packed": Family("packed", None, OURS),
    "int8": Family("packed", None, f"{OURS}, int8", quantize="int8"),
    "peft": Family("adapter_switching", "peft", "PEFT, set_adapter"),
    "adapters": Family("batch_split", "adapters", "AdapterHub, BatchSplit"),
    "onnxruntime": Family("onnx_runtime", "runtimes", "ONNX Runtime, one model"),
    "openvino": Family("open_vino", "runtimes", "OpenVINO, one model"),
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """The required speedup of one contender over another.

    `bounds` are the minimum ratios by backbone and workload; None stands for all.
    """

    contender: str
    other: str
    bounds: Mapping[tuple[str | None, str | None], float]

    def bound(self, backbone: str, workload: str) -> Bound | None:
        keys = ((backbone, workload), (backbone, None), (None, None))
        found = [self.bounds[key] for key in keys if key in self.bounds]
        return Bound(found[0]) if found else None


COMPARISONS: Final = (
    Comparison(
        "no prefix", "linear layers alone", {("bert-base", None): 0.85, ("minilm", None): 0.75}
    ),
    Comparison("1 prefix", "no prefix", {}),
    Comparison(OURS, "no prefix", {("bert-base", None): 0.93, ("minilm", "short texts"): 0.85}),
    Comparison(OURS, "1 prefix", {}),
    Comparison(f"{OURS}, Zipf", "no prefix", {}),
    Comparison(OURS, "PEFT, set_adapter", {(None, None): 10}),
    Comparison(OURS, "AdapterHub, BatchSplit", {(None, None): 5}),
    Comparison(OURS, "ONNX Runtime, one model", {}),
    Comparison(OURS, "OpenVINO, one model", {(None, None): 1.0}),
    Comparison(f"{OURS}, int8", "OpenVINO, one model", {(None, None): 1.5}),
    Comparison(f"{OURS}, int8", OURS, {}),
)

Place = tuple[str, str]
"""A workload and a contender in it."""


@dataclass(frozen=True, slots=True)
class Race:
    """One backbone in one precision, and the workloads of all contenders."""

    backbone: str
    folder: Path
    dtype: str
    workloads: Sequence[Workload]
    families: Sequence[str]
    batch: int
    rounds: int
    num_threads: int

    def group(self, workload: str) -> str:
        return f"{self.backbone}, {self.dtype}, {workload}"


def run_race(race: Race, report: Callable[[str], None]) -> Iterator[Figure]:
    """Run the same texts with all families; return their speeds and ratios."""
    reasons: dict[str, str] = {}
    with ExitStack() as stack:
        runs: dict[Place, Callable[[], float]] = {}
        for name in race.families:
            report(f"{race.backbone} {race.dtype}: loading {name}")
            try:
                runs |= _contenders(stack, race, FAMILIES[name])
            except (WorkerFailed, EnvironmentUnavailable) as error:
                reasons[FAMILIES[name].contender] = str(error)
        seconds, failures = alternate(
            runs,
            race.rounds,
            failure=WorkerFailed,
            report=lambda place: report(f"{race.group(place[0])}: {place[1]}"),
        )
    for work in race.workloads:
        mine = {name: seconds[at, name] for at, name in seconds if at == work.name}
        absent = reasons | {name: why for (at, name), why in failures.items() if at == work.name}
        yield from _speeds(race.group(work.name), len(work.texts), mine, absent)
        yield from _ratios(race, work.name, mine, absent)


def _contenders(stack: ExitStack, race: Race, family: Family) -> dict[Place, Callable[[], float]]:
    programs = Path(sys.executable).parent
    if family.environment is not None:
        programs = environment(family.environment)
    worker = Worker(programs / "python", family.script, num_threads=race.num_threads)
    stack.enter_context(worker)
    names = worker.load(_job(race, family.quantize))
    expected = {work.name: len(work.texts) for work in race.workloads}
    return {
        (workload, name): partial(_seconds, worker, workload, name, expected[workload])
        for workload, contenders in names.items()
        for name in contenders
    }


def _seconds(worker: Worker, workload: str, contender: str, num_texts: int) -> float:
    seconds, rows = worker.run(workload, contender)
    if rows != num_texts:
        raise WorkerFailed(f"processed {rows} of {num_texts} texts")
    return seconds


def _job(race: Race, quantize: str | None) -> dict[str, Any]:
    return {
        "model": str(race.folder),
        "dtype": race.dtype,
        "quantize": quantize,
        "threads": race.num_threads,
        "batch": race.batch,
        "num_labels": NUM_LABELS,
        "num_tasks": NUM_TASKS,
        "task_counts": TASK_COUNTS,
        "prefix_length": PREFIX_LENGTH,
        "prefix_lengths": PREFIX_LENGTHS,
        "num_per_length": NUM_PER_LENGTH,
        "workloads": {
            work.name: {"tokens": work.tokens, "uniform": work.uniform, "zipf": work.zipf}
            for work in race.workloads
        },
    }


def _speeds(
    group: str, num_texts: int, seconds: Mapping[str, Sequence[float]], absent: Mapping[str, str]
) -> Iterator[Figure]:
    for name, rounds in seconds.items():
        speeds = [num_texts / each for each in rounds]
        yield Figure.of_rounds(group, name, "texts/s", speeds)
    for name, reason in absent.items():
        yield Figure.absent(group, name, "texts/s", reason)


def _ratios(
    race: Race, workload: str, seconds: Mapping[str, Sequence[float]], absent: Mapping[str, str]
) -> Iterator[Figure]:
    asked = seconds.keys() | absent.keys()
    for pair in COMPARISONS:
        if not {pair.contender, pair.other} <= asked:
            continue
        name = f"{pair.contender} / {pair.other}"
        bound = pair.bound(race.backbone, workload)
        missing = absent.keys() & {pair.contender, pair.other}
        if missing:
            yield Figure.absent(race.group(workload), name, "times", absent[missing.pop()], bound)
        else:
            ratios = speed_ratios(seconds[pair.contender], seconds[pair.other])
            yield Figure.of_rounds(race.group(workload), name, "times", ratios, bound)
