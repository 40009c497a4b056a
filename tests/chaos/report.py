"""Report: the figures of a soak and its verdicts, as tables and as JSON."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from rich.table import Table

from tests.chaos.replies import LOST, REFUSED, Reply
from tests.chaos.rules import Verdict


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of a soak. `recoveries` has the seconds after each fault of a kind.

    `absent` has the faults that this machine cannot inject, and why.
    """

    seconds: float
    num_requests: int
    num_published: int
    num_unacknowledged: int
    errors: Mapping[str, int]
    recoveries: Mapping[str, Sequence[float]]
    absent: Mapping[str, str]
    verdicts: Sequence[Verdict]

    @property
    def num_faults(self) -> int:
        return sum(map(len, self.recoveries.values()))

    @property
    def violations(self) -> list[str]:
        """The violations of rules that do not limit a time: a busy machine makes times longer."""
        return [text for one in self.verdicts if not one.is_timed for text in one.violations]

    @property
    def is_kept(self) -> bool:
        return all(verdict.is_kept for verdict in self.verdicts)

    def write(self, path: Path) -> None:
        """Write all figures as JSON."""
        content = asdict(self) | {"num_faults": self.num_faults, "is_kept": self.is_kept}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    def tables(self) -> Iterator[Table]:
        """Yield the tables for a terminal."""
        yield self._figures()
        yield self._faults()
        yield self._rules()

    def _figures(self) -> Table:
        table = Table("figure", "value", title="Traffic")
        table.add_row("minutes", f"{self.seconds / 60:.1f}")
        table.add_row("requests", str(self.num_requests))
        table.add_row("published versions", str(self.num_published))
        table.add_row("publications that failed", str(self.num_unacknowledged))
        for kind, count in self.errors.items():
            table.add_row(kind, str(count))
        return table

    def _faults(self) -> Table:
        table = Table("fault", "times", "recovery, median s", "maximum s", title="Faults")
        for kind, seconds in self.recoveries.items():
            table.add_row(kind, str(len(seconds)), f"{median(seconds):.1f}", f"{max(seconds):.1f}")
        for kind, reason in self.absent.items():
            table.add_row(kind, "0", reason, "")
        return table

    def _rules(self) -> Table:
        table = Table("rule", "checked", "result", title="Rules")
        for one in self.verdicts:
            result = "pass" if one.is_kept else f"FAIL: {len(one.violations)}, {one.violations[0]}"
            table.add_row(one.rule, str(one.num_checked), result)
        return table


def errors_by_kind(replies: Sequence[Reply]) -> dict[str, int]:
    """Count the requests without an answer, by what happened to them."""
    kinds = {REFUSED: "connection refused", LOST: "connection lost"}
    counts = Counter(
        kinds.get(reply.status, f"status {reply.status}")
        for reply in replies
        if reply.status != 200
    )
    return dict(counts.most_common())
