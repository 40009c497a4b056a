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
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
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
from prefixes import BackboneFingerprint
from prefixes.backbone import load_backbone

_TASKS_OF_TENANT: Final = 20

Report = Callable[[str], None]


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
    report: Report,
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
        workloads = make_workloads(folder, options.texts or TEXTS[backbone], NUM_TASKS)
        setup = _Setup(options, backbone, folder, workloads, kernels)
        for dtype in dtypes:
            # int8 is compared with the fastest exact precision only.
            families = [name for name in parts.families if name != "int8" or dtype == dtypes[-1]]
            yield from _run_engine(setup, dtype, parts, families, report)
        if backbone == options.backbones[0]:
            yield from _compare_processes(setup, parts, report)
            for dtype in dtypes:
                yield from _serve(setup, dtype, parts, scratch, report)
        shutil.rmtree(folder)


@dataclass(frozen=True, slots=True)
class _Setup:
    """A backbone with its texts, and the options and kernels of the run."""

    options: argparse.Namespace
    backbone: str
    folder: Path
    workloads: Sequence[Workload]
    kernels: KernelSettings

    @property
    def fingerprint(self) -> BackboneFingerprint:
        return load_backbone(self.folder, device="cpu", **plain_arguments()).fingerprint

    @property
    def how(self) -> dict[str, Any]:
        """How every part measures."""
        return {
            "rounds": self.options.rounds,
            "num_threads": self.options.threads,
            "kernels": self.kernels,
        }

    def of(self, dtype: str) -> dict[str, Any]:
        """Return what the parts of one precision have in common."""
        return self.how | {"backbone": self.backbone, "folder": self.folder, "dtype": dtype}


def _run_engine(
    setup: _Setup, dtype: str, parts: Selection, families: Sequence[str], report: Report
) -> Iterator[list[Figure]]:
    """Measure speeds of inference and of training in one precision."""
    common = setup.of(dtype) | {"workloads": setup.workloads}
    if families:
        race = Race(
            **common,
            families=families,
            batches=setup.options.batches,
            has_details=parts.has_details,
        )
        yield list(run_race(race, report))
    if parts.has_training:
        yield list(learn(Learning(**common), report))


def _compare_processes(setup: _Setup, parts: Selection, report: Report) -> Iterator[list[Figure]]:
    if "fine-tuned" in parts.processes:
        compared = FineTuned(setup.folder, setup.fingerprint, setup.workloads, **setup.how)
        yield list(compare(compared, report))
    if "contention" in parts.processes:
        yield from contend(Contention(setup.folder, setup.workloads[1], **setup.how), report)


def _serve(
    setup: _Setup, dtype: str, parts: Selection, scratch: Path, report: Report
) -> Iterator[list[Figure]]:
    """Measure a server in one precision."""
    seconds = setup.options.seconds
    serving = Serving(**setup.of(dtype), workload=setup.workloads[1], seconds=seconds)
    if LOADING in parts.served:
        yield list(loading(serving, scratch, report))
    if served := parts.served - {LOADING}:
        yield from _serve_tasks(setup, served, serving, scratch, report)


def _serve_tasks(
    setup: _Setup, served: AbstractSet[str], serving: Serving, scratch: Path, report: Report
) -> Iterator[list[Figure]]:
    options, facts = setup.options, setup.fingerprint
    report(f"{serving.group}: publishing {options.tasks} prefixes")

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
