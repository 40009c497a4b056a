"""Tables of results for the terminal."""

from collections.abc import Sequence
from statistics import fmean
from typing import Final

from rich.table import Table

from bench.simulation.planning import Capacity, Demand
from bench.simulation.validation import ACCEPTED, Comparison, ratios

_SCALES: Final = {
    "throughput": ("requests/s", 1),
    "hits": ("%", 100),
    "p50": ("ms", 1000),
    "p99": ("ms", 1000),
    "cpu": ("ms", 1000),
    "batch_rows": ("texts", 1),
}
"""The unit of each figure, and its scale."""


def validation_table(comparisons: Sequence[Comparison]) -> Table:
    """Show the means of reality and simulation at each load, and their ratio."""
    table = Table("load", "figure", "real", "simulated", "simulated / real", "within 15 %")
    for share, figures in ratios(comparisons).items():
        runs = [one for one in comparisons if one.share == share]
        for name, ratio in figures.items():
            unit, scale = _SCALES[name]
            real, simulated = (
                f"{scale * fmean(getattr(getattr(one, kind), name) for one in runs):.1f}"
                for kind in ("real", "simulated")
            )
            table.add_row(
                f"{share:.0%}",
                f"{name}, {unit}",
                real,
                simulated,
                f"{ratio.mean:.2f} ± {ratio.error:.2f}",
                "yes" if abs(ratio.mean - 1) <= ACCEPTED else "no",
            )
        others = fmean(one.others for one in runs)
        table.add_row(f"{share:.0%}", "other programs, %", f"{100 * others:.1f}")
    return table


def capacity_table(planned: Sequence[tuple[Demand, Capacity]]) -> Table:
    """Show the replicas for each demand, with the hits with and without affinity."""
    table = Table(
        "MiB each", "replicas", "hits", "without affinity", "MB/s from the store", "without"
    )
    for demand, capacity in planned:
        rates = (capacity.store_bytes_per_second, capacity.store_bytes_per_second_elsewhere)
        table.add_row(
            str(demand.device_mib),
            str(capacity.num_replicas),
            f"{capacity.hits:.1%}",
            f"{capacity.hits_elsewhere:.1%}",
            *(f"{rate / 1e6:.0f}" for rate in rates),
        )
    return table
