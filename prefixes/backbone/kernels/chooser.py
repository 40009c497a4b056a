"""KernelChooser: picks a candidate for each operation of a backbone, from the cache or measured."""

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch

from prefixes.backbone.kernels.cache import Facts, KernelCache
from prefixes.backbone.kernels.contest import Contest, Figures, pick
from prefixes.backbone.kernels.machine import machine_facts
from prefixes.backbone.kernels.measurement import measure, prepare
from prefixes.backbone.kernels.names import AUTO
from prefixes.errors import KernelUnavailable

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class KernelChooser:
    """Chooses kernels for one backbone on one device.

    `facts` describe the backbone: its weights, and whether prefixes will be trained.
    """

    device: torch.device
    cache: KernelCache
    facts: Facts
    _table: list[dict[str, Any]] = field(default_factory=list)

    def choose(self, contest: Contest, requested: str, **facts: str) -> str:
        """Return the name of a candidate: the requested one, or for `auto` the fastest.

        Args:
            contest: the candidates.
            requested: the name of a candidate, or `auto`.
            facts: further facts that the choice depends on, such as the number type.

        Raises:
            KernelUnavailable: when the requested candidate does not exist or cannot run here.
        """
        if requested != AUTO:
            return _check(contest, requested)
        names = [candidate.name for candidate in contest.candidates]
        if len(names) == 1:
            return names[0]
        key = {
            **machine_facts(self.device),
            **self.facts,
            **facts,
            "operation": contest.operation,
            "candidates": " ".join(names),
        }
        found = self.cache.find(key, names)
        if found is not None:
            self._table.append({"operation": contest.operation, "chosen": found, "cached": True})
            return found
        figures = measure(contest, self.device)
        chosen = pick(contest, figures.seconds)
        self.cache.store(key, chosen)
        self._table.append(_row(contest, figures, chosen))
        return chosen

    def log(self) -> None:
        """Write all choices to the log: as one line, and as a table in its fields."""
        if self._table:
            text = "; ".join(map(_sentence, self._table))
            table = {"kernels": self._table}
            _log.info("kernels on %s: %s", self.device, text, extra={"fields": table})


def _check(contest: Contest, name: str) -> str:
    """Check that a candidate exists, runs here and agrees with the reference."""
    names = [candidate.name for candidate in contest.candidates]
    if name not in names:
        raise KernelUnavailable(
            f"The {contest.operation} kernel {name!r} does not support this backbone or device: "
            f"choose {' or '.join((AUTO, *names))}"
        )
    if name == contest.reference:
        return name
    pair = (contest.candidates[0], contest.candidates[names.index(name)])
    _, excluded = prepare(dataclasses.replace(contest, candidates=pair))
    reason = excluded.get(name)
    if reason is not None:
        raise KernelUnavailable(
            f"The {contest.operation} kernel {name!r} cannot run on this machine: {reason}; "
            f"choose {AUTO} or {contest.reference}"
        )
    return name


def _row(contest: Contest, figures: Figures, chosen: str) -> dict[str, Any]:
    """Return a choice with the median times and with why candidates were excluded."""
    labels = [workload.label for workload in contest.workloads]
    measured = {
        name: {
            label: float(f"{median(seconds) * 1000:.3g}")
            for label, seconds in zip(labels, rounds, strict=True)
        }
        for name, rounds in figures.seconds.items()
    }
    return {
        "operation": contest.operation,
        "chosen": chosen,
        "milliseconds": measured,
        "excluded": dict(figures.excluded),
    }


def _sentence(row: Mapping[str, Any]) -> str:
    """Describe a choice: cached, or with figures in milliseconds."""
    if row.get("cached"):
        return f"{row['operation']}: {row['chosen']} (cached)"
    measured = row["milliseconds"]
    labels = ", ".join(next(iter(measured.values()), ()))
    parts = [f"ms at {labels}"] if measured else []
    parts += [f"{name} {' / '.join(map(str, own.values()))}" for name, own in measured.items()]
    parts += [f"{name} excluded: {reason}" for name, reason in row["excluded"].items()]
    return f"{row['operation']}: {row['chosen']} ({'; '.join(parts)})"
