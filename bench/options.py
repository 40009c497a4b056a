"""The options of the benchmark, and the parts that it can measure."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.backbones import BACKBONES
from bench.comparisons import REQUIRED_BATCH
from bench.kernels import add_options
from bench.throughput import FAMILIES

LOADING: Final = "loading"

SERVED: Final = (
    LOADING,
    "http",
    "infinity",
    "open-loop",
    "fairness",
    "cold",
    "memory",
    "warm-start",
)
"""Parts that load or serve the first of the backbones."""

TRAINING: Final = "training"

DETAILS: Final = "details"
"""Other numbers of tasks and lengths of prefixes than those that others are compared with."""

PROCESSES: Final = ("fine-tuned", "contention")
"""Parts that compare processes, with the first of the backbones."""

ADMISSION: Final = "admission"
"""The CPU time that authorization, limits and fairness add to a request, without a server."""

PARTS: Final = (*FAMILIES, DETAILS, *SERVED, TRAINING, *PROCESSES, ADMISSION)

OWN: Final = (
    "packed",
    "int8",
    DETAILS,
    LOADING,
    "http",
    "open-loop",
    "fairness",
    "cold",
    "memory",
    "warm-start",
    ADMISSION,
)
"""Parts that need no environment of a peer."""

TEXTS: Final = {"minilm": 256, "bert-base": 128, "roberta-large": 64}
QUICK: Final = {
    "only": OWN,
    "backbones": ["minilm"],
    "texts": 16,
    "batches": [1, 8],
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
    """The parts to measure: families of contenders, parts that serve, training, and processes."""

    families: tuple[str, ...]
    served: frozenset[str]
    processes: frozenset[str]
    has_details: bool
    has_training: bool
    has_admission: bool

    @classmethod
    def named(cls, names: Sequence[str]) -> "Selection":
        chosen = names or PARTS
        return cls(
            tuple(name for name in FAMILIES if name in chosen),
            frozenset(SERVED) & frozenset(chosen),
            frozenset(PROCESSES) & frozenset(chosen),
            DETAILS in chosen,
            TRAINING in chosen,
            ADMISSION in chosen,
        )


def read_options(description: str) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=description)
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
    parser.add_argument(
        "--batches", type=int, nargs="+", default=[1, 8, REQUIRED_BATCH], help="texts per batch"
    )
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
    add_options(parser)
    parser.add_argument(
        "--kernel-cache",
        type=Path,
        help="file of kernel choices that several runs share; default: one per run",
    )
    parser.add_argument("--output", type=Path, default=Path("bench/results/latest.json"))
    parser.add_argument(
        "--quick",
        action="store_true",
        help="check within minutes that the benchmark works, without peers",
    )
    parser.set_defaults(**(QUICK if "--quick" in sys.argv else {}))
    return parser.parse_args()
