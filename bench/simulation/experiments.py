"""Experiments: many scenarios with several seeds, and their results in one file."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from bench.origin import facts
from bench.simulation.scenarios import EXPERIMENTS, Scenario
from bench.simulation.service_times import BATCH_ROWS, ServiceTimes

_WINDOW: Final = 1.0


@dataclass(frozen=True, slots=True)
class Experiments:
    """A file of results. Scenarios that it has are not simulated again."""

    path: Path
    times: ServiceTimes

    def run(self, names: Sequence[str], seeds: int) -> Iterator[tuple[Scenario, int, int]]:
        """Simulate what is missing; yield each scenario before, its place, and their number."""
        done = self._read()
        scenarios = [
            scenario
            for seed in range(seeds)
            for name in names
            for scenario in EXPERIMENTS[name](seed)
        ]
        known = [one["scenario"] for one in done]
        for place, scenario in enumerate(dict.fromkeys(scenarios), 1):
            yield scenario, place, len(scenarios)
            if asdict(scenario) not in known:
                done.append(_result(scenario, self.times))
                self._write(done)

    def _read(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        results: list[dict[str, Any]] = json.loads(self.path.read_text(encoding="utf-8"))["results"]
        return results

    def _write(self, results: Sequence[Mapping[str, Any]]) -> None:
        content = {
            "origin": facts(1),
            "times": self.times.origin,
            "capacity": self.times.capacity(BATCH_ROWS),
            "prefix_bytes": self.times.prefix_bytes,
            "results": results,
        }
        self.path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _result(scenario: Scenario, times: ServiceTimes) -> dict[str, Any]:
    run = scenario.run(times)
    result = {"scenario": asdict(scenario), "summary": asdict(run.summary(scenario.warm_up))}
    if scenario.incident != "none":
        result["windows"] = run.windows(_WINDOW)
    return result
