"""The watch: what it writes, compares and reports."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from prefixes.registry import COMMAND_LINE, PrefixRegistry, open_registry
from prefixes.registry.answer_hours import AnswerHours
from prefixes.registry.webhooks import Webhooks
from prefixes.spec import Decisions
from server.drift.meter import AnswerMeter
from server.drift.watch import DriftWatch
from server.observability.metrics import Metrics
from tests.factories import make_spec
from tests.prefixes.answers.test_statistics import count
from tests.prefixes.facts import BACKBONE
from tests.server.drift.test_meter import PLAIN, Given

pytestmark = pytest.mark.anyio

BALANCED = make_spec(
    BACKBONE, decisions=Decisions(reference=count(PLAIN, *[[0, 1]] * 200, *[[1, 0]] * 200))
)


@pytest.fixture
def registry(tmp_path: Path) -> Any:
    registry = open_registry(tmp_path)
    yield registry
    registry.close()


def watch_of(registry: PrefixRegistry, meter: AnswerMeter, metrics: Metrics) -> DriftWatch:
    hours = AnswerHours(registry.database)
    return DriftWatch(meter, hours, metrics, bound=0.25, retention=timedelta(days=1))


async def test_a_version_whose_labels_have_shifted_is_reported_once(
    registry: PrefixRegistry,
) -> None:
    registry.ensure_tenant("acme")
    hooks = Webhooks(registry.database)
    hook = hooks.create("acme", "https://example.org", ["task.drifted"], by=COMMAND_LINE)
    metrics, meter = Metrics(), AnswerMeter(None)
    watch = watch_of(registry, meter, metrics)
    meter.observe([Given(spec=BALANCED)] * 200)
    await watch.write()
    meter.observe([Given(spec=BALANCED)] * 200)
    await watch_of(registry, meter, metrics).write()  # as after a restart
    (delivery,) = hooks.deliveries("acme", hook.webhook.id, limit=9)
    assert delivery.event == "task.drifted"
    text = (await metrics.exposition()).decode()
    assert "polyprefix_drifted_versions 1.0" in text
    assert 'polyprefix_drift_index{statistic="labels",task="spam",tenant="acme"}' in text
    meter.close()


async def test_few_texts_are_not_reported(registry: PrefixRegistry) -> None:
    metrics, meter = Metrics(), AnswerMeter(None)
    meter.observe([Given(spec=BALANCED)] * 99)
    await watch_of(registry, meter, metrics).write()
    assert "polyprefix_drifted_versions 0.0" in (await metrics.exposition()).decode()
    meter.close()


async def test_statistics_are_written_when_the_server_stops(registry: PrefixRegistry) -> None:
    meter = AnswerMeter(None)
    async with watch_of(registry, meter, Metrics()).running():
        meter.observe([Given()])
    with registry.database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM answer_hours").scalar() == 1
