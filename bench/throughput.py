"""Throughput: the speed of every contender with the same texts, and their ratios."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench.backbones import NUM_LABELS
from bench.comparisons import (
    ADAPTERS,
    NUM_TASKS,
    ONNX_RUNTIME,
    OPENVINO,
    OURS,
    OURS_INT8,
    PEFT,
    POLYLORA,
    RANK,
    VLLM,
    Cell,
    ratios,
)
from bench.contenders import Facts, Place, Worker, WorkerFailed
from bench.environments import EnvironmentUnavailable, environment
from bench.figures import Figure
from bench.kernels import KernelSettings
from bench.rounds import alternate
from bench.workloads import Workload

TASK_COUNTS: Final = (1, 8, 64, NUM_TASKS)
PREFIX_LENGTH: Final = 16
PREFIX_LENGTHS: Final = (8, 32, 128)
NUM_PER_LENGTH: Final = 16

MAX_BATCHES: Final = 32
"""Maximum number of batches of a round, so that a round of small ones does not take longer."""


@dataclass(frozen=True, slots=True)
class Family:
    """Contenders that share a worker: its script, environment (None: ours) and main contender."""

    script: str
    environment: str | None
    contender: str
    quantize: str | None = None


FAMILIES: Final = {
    "packed": Family("packed", None, OURS),
    "int8": Family("packed", None, OURS_INT8, quantize="int8"),
    "peft": Family("adapter_switching", "peft", PEFT),
    "adapters": Family("batch_split", "adapters", ADAPTERS),
    "polylora": Family("poly_lora", "polylora", POLYLORA),
    "vllm": Family("vllm_lora", "vllm", VLLM),
    "onnxruntime": Family("onnx_runtime", "runtimes", ONNX_RUNTIME),
    "openvino": Family("open_vino", "runtimes", OPENVINO),
}


@dataclass(frozen=True, slots=True)
class Race:
    """One backbone in one precision, and the workloads and batch sizes of all contenders."""

    backbone: str
    folder: Path
    dtype: str
    workloads: Sequence[Workload]
    families: Sequence[str]
    batches: Sequence[int]
    has_details: bool
    rounds: int
    num_threads: int
    kernels: KernelSettings

    def cells(self) -> Iterator[tuple[Cell, Workload]]:
        """Return each batch size of each workload, with the texts of a round."""
        for work in self.workloads:
            for batch in self.batches:
                cell = Cell(self.backbone, self.dtype, work.name, batch)
                yield cell, work.take(MAX_BATCHES * batch)


def run_race(race: Race, report: Callable[[str], None]) -> Iterator[Figure]:
    """Run the same texts with all families; return their speeds and ratios."""
    reasons: dict[str, str] = {}
    facts: dict[Place, Facts] = {}
    with ExitStack() as stack:
        runs: dict[Place, Callable[[], float]] = {}
        for name in race.families:
            report(f"{race.backbone} {race.dtype}: loading {name}")
            try:
                worker = _worker(stack, race, FAMILIES[name])
                found = worker.load(job_of(race, FAMILIES[name].quantize))
            except (WorkerFailed, EnvironmentUnavailable) as error:
                reasons[FAMILIES[name].contender] = str(error)
            else:
                facts |= found
                runs |= _runs(worker, race, found)
        seconds, failures = alternate(
            runs,
            race.rounds,
            failure=WorkerFailed,
            report=lambda place: report(": ".join(place)),
        )
    for cell, work in race.cells():
        mine = {name: seconds[at, name] for at, name in seconds if at == cell.group}
        absent = reasons | {name: why for (at, name), why in failures.items() if at == cell.group}
        yield _tokens(cell, work)
        yield from _speeds(cell, len(work.texts), mine, facts)
        for name, reason in absent.items():
            yield Figure.absent(cell.group, name, "texts/s", reason)
        kernels = {name: one.kernels for (at, name), one in facts.items() if at == cell.group}
        yield from ratios(cell, mine, absent, kernels)


def _worker(stack: ExitStack, race: Race, family: Family) -> Worker:
    programs = Path(sys.executable).parent
    if family.environment is not None:
        programs = environment(family.environment)
    worker = Worker(programs / "python", family.script, num_threads=race.num_threads)
    return stack.enter_context(worker)


def _runs(
    worker: Worker, race: Race, places: Mapping[Place, Facts]
) -> dict[Place, Callable[[], float]]:
    expected = {cell.group: len(work.texts) for cell, work in race.cells()}
    return {place: partial(_seconds, worker, *place, expected[place[0]]) for place in places}


def _seconds(worker: Worker, workload: str, contender: str, num_texts: int) -> float:
    seconds, rows = worker.run(workload, contender)
    if rows != num_texts:
        raise WorkerFailed(f"processed {rows} of {num_texts} texts")
    return seconds


def job_of(race: Race, quantize: str | None) -> dict[str, Any]:
    """Describe the job of a worker."""
    largest = max(race.batches)
    return {
        "model": str(race.folder),
        "dtype": race.dtype,
        "quantize": quantize,
        "threads": race.num_threads,
        "kernels": race.kernels.job(),
        "num_labels": NUM_LABELS,
        "num_tasks": NUM_TASKS,
        "rank": RANK,
        "task_counts": TASK_COUNTS,
        "prefix_length": PREFIX_LENGTH,
        "prefix_lengths": PREFIX_LENGTHS,
        "num_per_length": NUM_PER_LENGTH,
        "workloads": {
            cell.group: {
                "tokens": work.tokens,
                "uniform": work.uniform,
                "zipf": work.zipf,
                "batch": cell.batch,
                # Other numbers of tasks and lengths of prefixes, for one batch size only.
                "detailed": race.has_details and cell.batch == largest,
            }
            for cell, work in race.cells()
        },
    }


def _tokens(cell: Cell, work: Workload) -> Figure:
    return Figure.of_rounds(
        cell.group, "tokens per batch", "tokens", work.tokens_per_batch(cell.batch)
    )


def _speeds(
    cell: Cell,
    num_texts: int,
    seconds: Mapping[str, Sequence[float]],
    facts: Mapping[Place, Facts],
) -> Iterator[Figure]:
    for name, rounds in seconds.items():
        known = facts[cell.group, name]
        speeds = [num_texts / each for each in rounds]
        yield Figure.of_rounds(cell.group, name, "texts/s", speeds, kernels=known.kernels)
        if known.operations:
            speeds = [known.operations / each / 1e9 for each in rounds]
            unit = "GOP/s" if name.endswith("int8") else "GFLOP/s"
            yield Figure.of_rounds(cell.group, f"{name}: rate", unit, speeds, kernels=known.kernels)
