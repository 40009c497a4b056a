"""The benchmark: this project and its peers in one run, compared with the required ratios.

    python -m bench [--only NAME ...] [--quick]

docs/benchmarks.md describes what is measured and how.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from transformers.utils import logging as transformers_logging

from bench.backbones import BACKBONES, make_folder
from bench.figures import Figure
from bench.learning import Learning, learn
from bench.origin import has_bfloat16, processor
from bench.processes import ServerFailed
from bench.report import notes, table, write
from bench.residency import cold_prefixes, memory, warm_start
from bench.serving import OpenLoop, Serving, over_http
from bench.stores import Store, make_store
from bench.throughput import FAMILIES, NUM_TASKS, PREFIX_LENGTH, Race, run_race
from bench.workloads import make_workloads
from prefixes.backbone import load_backbone

SERVED: Final = ("http", "infinity", "open-loop", "cold", "memory", "warm-start")
"""Parts that send requests to a server, which serves the first of the backbones."""

TRAINING: Final = "training"

PARTS: Final = (*FAMILIES, *SERVED, TRAINING)

OWN: Final = ("packed", "int8", "http", "open-loop", "cold", "memory", "warm-start")
"""Parts that need no environment of a peer."""

TEXTS: Final = {"minilm": 256, "bert-base": 128, "roberta-large": 64}
QUICK: Final = {
    "only": OWN,
    "backbones": ["minilm"],
    "texts": 16,
    "batch": 8,
    "rounds": 2,
    "seconds": 1.0,
    "tasks": 60,
    "registered": 1000,
    "published": 200,
    "open_loop": 3.0,
}
"""A quick run shows that the benchmark works. Its figures are not reliable."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The parts to measure: families of contenders, parts over HTTP, and training."""

    families: tuple[str, ...]
    served: frozenset[str]
    has_training: bool

    @classmethod
    def named(cls, names: Sequence[str]) -> "Selection":
        chosen = names or PARTS
        return cls(
            tuple(name for name in FAMILIES if name in chosen),
            frozenset(SERVED) & frozenset(chosen),
            TRAINING in chosen,
        )


def main() -> None:
    options = _options()
    # Exit normally on SIGTERM, so that servers and workers are stopped too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped by SIGTERM"))
    # Wide enough for the longest names if the output goes to a file.
    console = Console(width=None if sys.stdout.isatty() else 140)
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    dtypes = ["float32", "bfloat16"] if has_bfloat16() else ["float32"]
    if len(dtypes) == 1:
        console.print(f"{processor()} has no bfloat16 in hardware: measuring float32 only")
    parts = Selection.named(options.only)
    figures: list[Figure] = []
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as scratch,
        console.status("starting") as status,
    ):
        report = status.update if console.is_terminal else console.log
        for measured in _measure(options, parts, dtypes, Path(scratch), report):
            figures += measured
            write(figures, options.output)  # after each part, because a long run may be stopped
    console.print(table(figures))
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
                batch=options.batch,
                rounds=options.rounds,
                num_threads=options.threads,
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
                )
                yield list(learn(learning, report))
        if backbone == options.backbones[0]:
            short = workloads[1].texts
            for dtype in dtypes:
                serving = Serving(
                    backbone=backbone,
                    folder=folder,
                    dtype=dtype,
                    texts=short,
                    num_threads=options.threads,
                    rounds=options.rounds,
                    seconds=options.seconds,
                )
                yield from _serve(options, parts.served, serving, scratch, report)
        shutil.rmtree(folder)


def _serve(
    options: argparse.Namespace,
    served: frozenset[str],
    serving: Serving,
    scratch: Path,
    report: Callable[[str], None],
) -> Iterator[list[Figure]]:
    if not served:
        return
    report(f"{serving.group}: publishing {options.tasks} prefixes")
    facts = load_backbone(serving.folder, device="cpu").fingerprint

    def store(name: str, num_tasks: int, num_rows: int = 0, length: int = PREFIX_LENGTH) -> Store:
        place = scratch / serving.dtype / name
        place.parent.mkdir(exist_ok=True)
        return make_store(place, facts, num_tasks=num_tasks, length=length, num_rows=num_rows)

    tasks = store("tasks", options.tasks)
    if served & {"http", "infinity", "open-loop"}:
        seconds = options.open_loop
        loop = OpenLoop(seconds, options.share) if "open-loop" in served else None
        has_infinity = "infinity" in served
        figures = over_http(serving, tasks, report, with_infinity=has_infinity, open_loop=loop)
        yield _all(figures, serving, "http")
    if "cold" in served:
        yield _all(cold_prefixes(serving, tasks, report), serving, "cold")
    if "memory" in served:
        report(f"{serving.group}: registering {options.registered} tasks")
        registered = store("few", 1), store("many", 1, options.registered)
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


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="NAME",
        choices=PARTS,
        default=[],
        help=f"measure only these: {', '.join(PARTS)}",
    )
    parser.add_argument("--backbones", nargs="+", choices=BACKBONES, default=list(BACKBONES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--texts", type=int, help=f"texts per round; default: {TEXTS}")
    parser.add_argument("--batch", type=int, default=64, help="texts per batch")
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count(), help="threads of every contender"
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="length of a round over HTTP")
    parser.add_argument("--tasks", type=int, default=1000, help="tasks served over HTTP")
    parser.add_argument(
        "--registered", type=int, default=100_000, help="registered tasks without files"
    )
    parser.add_argument(
        "--published", type=int, default=10_000, help="prefix files of a warm start"
    )
    parser.add_argument(
        "--open-loop", type=float, default=600.0, help="length of the open loop, in seconds"
    )
    parser.add_argument(
        "--share", type=float, default=0.7, help="load of the open loop, as a share of capacity"
    )
    parser.add_argument("--output", type=Path, default=Path("bench/results/latest.json"))
    parser.add_argument(
        "--quick",
        action="store_true",
        help="check within minutes that the benchmark works, without peers",
    )
    parser.set_defaults(**(QUICK if "--quick" in sys.argv else {}))
    return parser.parse_args()


if __name__ == "__main__":
    main()
