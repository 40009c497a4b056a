"""The simulation of many replicas, and its comparison with real servers.

    python -m bench.simulation measure --output bench/results/NAME.json
    python -m bench.simulation validate --times bench/results/NAME.json --output FILE
    python -m bench.simulation run --times bench/results/NAME.json --output FILE
    python -m bench.simulation plan --times bench/results/NAME.json --tasks 1000000 --rate 5000
    python -m bench.simulation plot

docs/capacity-planning.md describes the model, its limits and its results.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from transformers.utils import logging as transformers_logging

from bench.simulation.experiments import Experiments
from bench.simulation.measuring import measure
from bench.simulation.planning import Demand, plan_capacity
from bench.simulation.scenarios import EXPERIMENTS
from bench.simulation.service_times import ServiceTimes
from bench.simulation.tables import capacity_table, validation_table
from bench.simulation.traffic import Popularity
from bench.simulation.validation import Comparison, validate, write
from website.pictures import write_pictures

_RESULTS: Final = Path("bench/results")

Report = Callable[[str], None]


def main() -> None:
    options = _read_options()
    # Exit normally on SIGTERM, so that servers are stopped too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped by SIGTERM"))
    options.run(options)


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.simulation", description=(__doc__ or "").partition("\n")[0]
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    measuring = commands.add_parser("measure", help="measure the times of one server")
    measuring.add_argument("--output", type=Path, default=_RESULTS / "latest-service-times.json")
    measuring.set_defaults(run=_measure)
    validating = commands.add_parser("validate", help="compare with two real servers")
    validating.add_argument("--times", type=Path, required=True, help="file of `measure`")
    validating.add_argument("--output", type=Path, default=_RESULTS / "latest-validation.json")
    validating.add_argument("--shares", type=float, nargs="+", default=[0.3, 0.5, 0.65])
    validating.add_argument("--seeds", type=int, default=3, help="runs at each load")
    validating.add_argument("--seconds", type=float, default=28.0, help="length of a run")
    validating.set_defaults(run=_validate)
    running = commands.add_parser("run", help="simulate; what the output has is not run again")
    running.add_argument("--times", type=Path, required=True, help="file of `measure`")
    running.add_argument("--output", type=Path, default=_RESULTS / "latest-simulation.json")
    running.add_argument("--only", nargs="+", choices=EXPERIMENTS, default=list(EXPERIMENTS))
    running.add_argument("--seeds", type=int, default=3, help="runs of each scenario")
    running.set_defaults(run=_run)
    planning = commands.add_parser("plan", help="number of replicas and hits for a demand")
    planning.add_argument("--times", type=Path, required=True, help="file of `measure`")
    planning.add_argument("--tasks", type=int, required=True)
    planning.add_argument("--rate", type=float, required=True, help="requests per second")
    planning.add_argument("--exponent", type=float, default=1.0, help="of Zipf's law")
    planning.add_argument("--device-mib", type=int, nargs="+", default=[128, 512, 2048])
    planning.add_argument("--max-load", type=float, default=0.6, help="share of the capacity")
    planning.set_defaults(run=_plan)
    plotting = commands.add_parser("plot", help="draw docs/pictures/ from the committed results")
    plotting.set_defaults(run=_plot)
    return parser.parse_args()


def _measure(options: argparse.Namespace) -> None:
    with _status() as report, _scratch() as scratch:
        measure(scratch, report).write(options.output)
    Console().print(f"Times written to {options.output}")


def _run(options: argparse.Namespace) -> None:
    experiments = Experiments(options.output, ServiceTimes.read(options.times))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn()) as progress:
        bar = progress.add_task("simulating", total=None)
        for scenario, place, total in experiments.run(options.only, options.seeds):
            what = f"{scenario.router}, load {scenario.load:.0%}, seed {scenario.seed}"
            progress.update(bar, description=what, completed=place - 1, total=total)
    Console().print(f"Results written to {options.output}")


def _plan(options: argparse.Namespace) -> None:
    times = ServiceTimes.read(options.times)
    popularity = Popularity(options.tasks, options.exponent)
    demands = [
        Demand(popularity, options.rate, mib, options.max_load) for mib in options.device_mib
    ]
    Console().print(capacity_table([(demand, plan_capacity(demand, times)) for demand in demands]))


def _plot(_: argparse.Namespace) -> None:
    for name in write_pictures():
        Console().print(f"Drawn: {name}")


def _validate(options: argparse.Namespace) -> None:
    times = ServiceTimes.read(options.times)
    comparisons: list[Comparison] = []
    how = {"shares": options.shares, "seeds": options.seeds, "seconds": options.seconds}
    with _status() as report, _scratch() as scratch:
        for comparison in validate(times, scratch, **how, report=report):
            comparisons.append(comparison)
            write(options.output, times, comparisons)
    Console().print(validation_table(comparisons))


@contextmanager
def _scratch() -> Iterator[Path]:
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    with tempfile.TemporaryDirectory(prefix="simulation-") as folder:
        yield Path(folder)


@contextmanager
def _status() -> Iterator[Report]:
    """Show what happens now, or log it if the output is not a terminal."""
    console = Console()
    with console.status("starting") as status:
        yield status.update if console.is_terminal else console.log


if __name__ == "__main__":
    main()
