"""The benchmark: this project and its peers in one run, compared with the required ratios.

    python -m bench [--only NAME ...] [--quick]

docs/benchmarks.md describes what is measured and how.
"""

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from transformers.utils import logging as transformers_logging

from bench.admission_cost import admission_cost
from bench.backbones import make_folder
from bench.comparisons import NUM_TASKS
from bench.contention import Contention, contend
from bench.fairness import fairness
from bench.figures import Figure
from bench.fine_tuned import FineTuned, compare
from bench.kernels import KernelSettings, plain_arguments
from bench.learning import Learning, learn
from bench.loading import loading
from bench.open_loop import OpenLoop
from bench.options import LOADING, TEXTS, Selection, read_options
from bench.over_http import over_http
from bench.processes import ServerFailed
from bench.processor import Processor
from bench.report import notes, requirements, table, write
from bench.residency import cold_prefixes, memory, warm_start
from bench.serving import Serving
from bench.stores import Store, make_store
from bench.throughput import PREFIX_LENGTH, Race, run_race
from bench.workloads import Workload, make_workloads
from prefixes.backbone import load_backbone

_TASKS_OF_TENANT: Final = 20


def main() -> None:
    options = read_options(__doc__.partition("\n")[0])
    # Exit normally on SIGTERM, so that servers and workers are stopped too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped by SIGTERM"))
    # Wide enough for the longest names if the output goes to a file.
    console = Console(width=None if sys.stdout.isatty() else 140)
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    processor = Processor.here()
    dtypes = ["float32", "bfloat16"] if processor.has_bfloat16 else ["float32"]
    if len(dtypes) == 1:
        console.print(f"{processor} has no bfloat16 in hardware: measuring float32 only")
    parts = Selection.named(options.only)
    figures: list[Figure] = []
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as scratch,
        console.status("starting") as status,
    ):
        report = status.update if console.is_terminal else console.log
        for measured in _measure(options, parts, dtypes, Path(scratch), report):
            figures += measured
            # After each part, because a long run may be stopped.
            write(figures, options.output, num_threads=options.threads)
    console.print(table(figures))
    console.print(requirements(figures))
    for note in notes(figures):
        console.print(note, markup=False)
    console.print(f"Results written to {options.output} and {options.output.with_suffix('.png')}")


def _measure(
    options: argparse.Namespace,
    parts: Selection,
    dtypes: Sequence[str],
    scratch: Path,
    report: Callable[[str], None],
) -> Iterator[list[Figure]]:
    """Measure one part after the other; yield the figures of each."""
    if parts.has_admission:
        report("admission")
        yield list(admission_cost(options.rounds))
    cache = options.kernel_cache or scratch / "kernels.json"
    kernels = KernelSettings(options.linear_kernel, options.attention_kernel, cache)
    for backbone in options.backbones:
        report(f"creating {backbone}")
        folder = make_folder(backbone, scratch)
        count = options.texts or TEXTS[backbone]
        workloads = make_workloads(folder, count, NUM_TASKS)
        for dtype in dtypes:
            race = Race(
                backbone=backbone,
                folder=folder,
                dtype=dtype,
                workloads=workloads,
                # int8 is compared with the fastest exact precision only.
                families=[name for name in parts.families if name != "int8" or dtype == dtypes[-1]],
                batches=options.batches,
                has_details=parts.has_details,
                rounds=options.rounds,
                num_threads=options.threads,
                kernels=kernels,
            )
            if race.families:
                yield list(run_race(race, report))
            if parts.has_training:
                learning = Learning(
                    backbone=backbone,
                    folder=folder,
                    dtype=dtype,
                    workloads=workloads,
                    rounds=options.rounds,
                    num_threads=options.threads,
                    kernels=kernels,
                )
                yield list(learn(learning, report))
        if backbone == options.backbones[0]:
            yield from _compare_processes(options, folder, workloads, kernels, report)
            for dtype in dtypes:
                serving = Serving(
                    backbone=backbone,
                    folder=folder,
                    dtype=dtype,
                    workload=workloads[1],
                    num_threads=options.threads,
                    rounds=options.rounds,
                    seconds=options.seconds,
                    kernels=kernels,
                )
                if LOADING in parts.served:
                    yield list(loading(serving, scratch, report))
                yield from _serve(options, parts.served, serving, scratch, report)
        shutil.rmtree(folder)


def _compare_processes(
    options: argparse.Namespace,
    folder: Path,
    workloads: Sequence[Workload],
    kernels: KernelSettings,
    report: Callable[[str], None],
) -> Iterator[list[Figure]]:
    chosen = Selection.named(options.only).processes
    how = {"rounds": options.rounds, "num_threads": options.threads, "kernels": kernels}
    if "fine-tuned" in chosen:
        facts = load_backbone(folder, device="cpu", **plain_arguments()).fingerprint
        yield list(compare(FineTuned(folder, facts, workloads, **how), report))
    if "contention" in chosen:
        yield from contend(Contention(folder, workloads[1], **how), report)


def _serve(
    options: argparse.Namespace,
    served: frozenset[str],
    serving: Serving,
    scratch: Path,
    report: Callable[[str], None],
) -> Iterator[list[Figure]]:
    if not served - {LOADING}:
        return
    report(f"{serving.group}: publishing {options.tasks} prefixes")
    facts = load_backbone(serving.folder, device="cpu", **plain_arguments()).fingerprint

    def store(name: str, num_tasks: int, *, length: int = PREFIX_LENGTH, **how: Any) -> Store:
        place = scratch / serving.dtype / name
        place.parent.mkdir(exist_ok=True)
        return make_store(place, facts, num_tasks=num_tasks, length=length, **how)

    tasks = store("tasks", options.tasks)
    if served & {"http", "infinity", "open-loop"}:
        seconds = options.open_loop
        loop = OpenLoop(seconds, options.share) if "open-loop" in served else None
        has_infinity = "infinity" in served
        figures = over_http(serving, tasks, report, with_infinity=has_infinity, loop=loop)
        yield _all(figures, serving, "http")
    if "fairness" in served:
        tenants = [store("tenants", _TASKS_OF_TENANT, tenant=name) for name in ("flood", "other")]
        yield _all(fairness(serving, *tenants, report), serving, "fairness")
    if "cold" in served:
        yield _all(cold_prefixes(serving, tasks, report), serving, "cold")
    if "memory" in served:
        report(f"{serving.group}: registering {options.registered} tasks")
        registered = store("few", 1), store("many", 1, num_rows=options.registered)
        yield _all(memory(serving, tasks, registered, report), serving, "memory")
    if "warm-start" in served:
        report(f"{serving.group}: publishing {options.published} short prefixes")
        # A start reads no prefix, so short ones suffice; they save a gigabyte of disk space.
        few, many = store("one", 1, length=1), store("published", options.published, length=1)
        yield _all(warm_start(serving, few, many, report), serving, "warm-start")


def _all(figures: Iterator[Figure], serving: Serving, part: str) -> list[Figure]:
    """Collect the figures of a part until its server fails."""
    collected: list[Figure] = []
    try:
        collected.extend(figures)
    except ServerFailed as error:
        collected.append(Figure.absent(serving.group, f"the rest of {part}", "", str(error)))
    return collected


if __name__ == "__main__":
    main()
