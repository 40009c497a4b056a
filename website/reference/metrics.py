"""The page of metrics, from the metrics that a server exports."""

import asyncio
import re
from typing import Any, Final, cast

from server.hosting.gauges import add_gauges
from server.observability.metrics import Metrics
from website.reference.tables import table

_INTRODUCTION: Final = """# Metrics

`GET /metrics` exports these metrics for Prometheus. [Operating](../operating.md#metrics) says which
of them to alert on.
"""


class _Zero:
    """Stands for an engine and a store that nobody uses: each of their numbers is 0."""

    def __getattr__(self, name: str) -> "_Zero":
        return self

    def __call__(self) -> "_Zero":
        return self

    def __float__(self) -> float:
        return 0.0


def metrics_page() -> str:
    """Write the page: the name, the type and the meaning of each metric."""
    metrics = Metrics(max_tenants=1, max_tasks=1)
    add_gauges(cast("Any", _Zero()), cast("Any", _Zero()), metrics)
    text = asyncio.run(metrics.exposition()).decode()
    helps = dict(re.findall(r"^# HELP (polyprefix_\w+) (.*)$", text, re.MULTILINE))
    types = re.findall(r"^# TYPE (polyprefix_\w+) (\w+)$", text, re.MULTILINE)
    shown = sorted(item for item in types if not item[0].endswith("_created"))
    rows = ((f"`{name}`", kind, helps[name]) for name, kind in shown)
    return f"{_INTRODUCTION}\n{table(('metric', 'type', 'meaning'), rows)}"
