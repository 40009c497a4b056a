"""Fine-tuned models: N of them in one process of ONNX Runtime, compared with N of our prefixes."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench.contenders import Worker, WorkerFailed
from bench.environments import EnvironmentUnavailable, environment
from bench.figures import Figure, speed_ratios
from bench.kernels import KernelSettings
from bench.random_prefixes import random_prefix
from bench.rounds import alternate
from bench.throughput import MAX_BATCHES, PREFIX_LENGTH
from bench.workloads import Workload
from prefixes import BackboneFingerprint

COUNTS: Final = (1, 8, 64)
"""Numbers of tasks."""

BATCHES: Final = (1, 8, 64)
OURS: Final = "prefixes"
PEER: Final = "models in ONNX Runtime"
PEERS: Final = "runtimes"
PROGRAMS: Final = {OURS: ("task_prefixes", None), PEER: ("task_models", PEERS)}
"""The worker's script and its environment (None: ours)."""

_MIB: Final = 2**20
_ROOM: Final = 0.7
"""Maximum share of the available memory that the files of models may need."""

Place = tuple[int, str, str, int]
"""A number of tasks, a program, a workload and a batch size."""


@dataclass(frozen=True, slots=True)
class FineTuned:
    """One backbone, and the workloads of both programs. ONNX Runtime runs it in float32 only."""

    folder: Path
    facts: BackboneFingerprint
    workloads: Sequence[Workload]
    rounds: int
    num_threads: int
    kernels: KernelSettings

    def group(self, num_tasks: int) -> str:
        tasks = "1 task" if num_tasks == 1 else f"{num_tasks} tasks"
        return f"{self.folder.name}, float32, one process, {tasks}"

    @property
    def model_bytes(self) -> int:
        return (self.folder / "model.safetensors").stat().st_size


def compare(fine_tuned: FineTuned, report: Callable[[str], None]) -> Iterator[Figure]:
    """Compare speed, memory and disk space for each number of tasks."""
    available = available_bytes()
    fitting = [count for count in COUNTS if fits(count, fine_tuned.model_bytes, available)]
    files = [
        fine_tuned.folder / f"model-{number}.onnx" for number in range(max(fitting, default=0))
    ]
    report(f"{fine_tuned.folder.name}: writing {len(files)} models")
    try:
        _write_models(fine_tuned, files)
        yield from _compare_all(fine_tuned, {count: files[:count] for count in fitting}, report)
    except (WorkerFailed, EnvironmentUnavailable) as error:
        yield Figure.absent(fine_tuned.group(max(fitting)), PEER, "texts/s", str(error))
    finally:
        for file in files:
            file.unlink(missing_ok=True)
    for count in COUNTS:
        if count not in fitting:
            size = f"{count * fine_tuned.model_bytes / _MIB:.0f} MiB"
            reason = f"{size} of weights need more than {_ROOM:.0%} of the available memory"
            yield Figure.absent(fine_tuned.group(count), PEER, "texts/s", reason)


def fits(count: int, model_bytes: int, available: int) -> bool:
    """Say whether the weights of some models leave enough of the available memory unused."""
    return count * model_bytes <= _ROOM * available


def available_bytes() -> int:
    """Return the memory that processes can still get. Needs /proc, and hence Linux."""
    lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    (line,) = (each for each in lines if each.startswith("MemAvailable:"))
    return int(line.split()[1]) * 1024


def _write_models(fine_tuned: FineTuned, files: Sequence[Path]) -> None:
    job = {"model": str(fine_tuned.folder), "files": [str(file) for file in files]}
    with _worker("model_files", PEERS, fine_tuned.num_threads) as worker:
        worker.load(job)


def _worker(script: str, peers: str | None, num_threads: int) -> Worker:
    programs = Path(sys.executable).parent if peers is None else environment(peers)
    return Worker(programs / "python", script, num_threads=num_threads)


def _compare_all(
    fine_tuned: FineTuned, files: Mapping[int, Sequence[Path]], report: Callable[[str], None]
) -> Iterator[Figure]:
    with ExitStack() as stack:
        workers: dict[tuple[int, str], Worker] = {}
        for count in files:
            for program, (script, peers) in PROGRAMS.items():
                report(f"{fine_tuned.group(count)}: loading {program}")
                worker = stack.enter_context(_worker(script, peers, fine_tuned.num_threads))
                worker.load(_job(fine_tuned, files[count]))
                workers[count, program] = worker
        seconds, reasons = alternate(
            dict(_runs(fine_tuned, workers)),
            fine_tuned.rounds,
            failure=WorkerFailed,
            report=lambda place: report(f"{fine_tuned.group(place[0])}: {_name(place)}"),
        )
        memory = {each: worker.memory_bytes() for each, worker in workers.items()}
    for place, reason in reasons.items():
        yield Figure.absent(fine_tuned.group(place[0]), _name(place), "texts/s", reason)
    for count in files:
        group = fine_tuned.group(count)
        yield from _speeds(group, count, fine_tuned.workloads, seconds)
        sizes = {program: memory[count, program] for program in PROGRAMS}
        yield from _sizes(group, "memory", sizes)
        disk = {OURS: _prefix_bytes(fine_tuned, count), PEER: sum(map(_size, files[count]))}
        yield from _sizes(group, "disk space", disk)


def _runs(
    fine_tuned: FineTuned, workers: Mapping[tuple[int, str], Worker]
) -> Iterator[tuple[Place, Callable[[], float]]]:
    for (count, program), worker in workers.items():
        for work in fine_tuned.workloads:
            for size in BATCHES:
                yield (count, program, work.name, size), partial(_seconds, worker, work, size)


def _name(place: Place) -> str:
    _, program, workload, size = place
    return f"{program}: {workload}, batches of {size}"


def _job(fine_tuned: FineTuned, files: Sequence[Path]) -> dict[str, Any]:
    config = json.loads((fine_tuned.folder / "config.json").read_text(encoding="utf-8"))
    return {
        "model": str(fine_tuned.folder),
        "dtype": "float32",
        "threads": fine_tuned.num_threads,
        "kernels": fine_tuned.kernels.job(),
        "num_tasks": len(files),
        "prefix_length": PREFIX_LENGTH,
        "files": [str(file) for file in files],
        "pad": config["pad_token_id"],
        "batches": BATCHES,
        "max_batches": MAX_BATCHES,
        "workloads": {
            work.name: {"tokens": work.tokens, "tasks": work.uniform}
            for work in fine_tuned.workloads
        },
    }


def _seconds(worker: Worker, work: Workload, size: int) -> float:
    seconds, rows = worker.run(work.name, str(size))
    if rows != _num_texts(work, size):
        raise WorkerFailed(f"processed {rows} of {_num_texts(work, size)} texts")
    return seconds


def _num_texts(work: Workload, size: int) -> int:
    return len(work.take(MAX_BATCHES * size).texts)


def _speeds(
    group: str,
    count: int,
    workloads: Sequence[Workload],
    seconds: Mapping[Place, Sequence[float]],
) -> Iterator[Figure]:
    for work in workloads:
        for size in BATCHES:
            mine, theirs = ((count, program, work.name, size) for program in PROGRAMS)
            for place in (mine, theirs):
                if place in seconds:
                    speeds = [_num_texts(work, size) / each for each in seconds[place]]
                    yield Figure.of_rounds(group, _name(place), "texts/s", speeds)
            if mine in seconds and theirs in seconds:
                ratios = speed_ratios(seconds[mine], seconds[theirs])
                name = f"{OURS} / {PEER}: {work.name}, batches of {size}"
                yield Figure.of_rounds(group, name, "times", ratios)


def _sizes(group: str, what: str, sizes: Mapping[str, int]) -> Iterator[Figure]:
    for program, size in sizes.items():
        yield Figure(group, f"{program}: {what}", "MiB", size / _MIB)
    yield Figure(group, f"{OURS} / {PEER}: {what}", "times", sizes[OURS] / sizes[PEER])


def _prefix_bytes(fine_tuned: FineTuned, num_tasks: int) -> int:
    """Return the disk space of the backbone and the prefixes."""
    prefix = random_prefix(fine_tuned.facts, PREFIX_LENGTH, seed=0)
    return fine_tuned.model_bytes + num_tasks * len(prefix.to_bytes())


def _size(file: Path) -> int:
    return file.stat().st_size
