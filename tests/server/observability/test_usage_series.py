"""Metrics by tenant and by task: opt-in, and bounded whatever the callers send."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from prefixes.backbone import Backbone
from server.observability.metrics import Metrics
from server.observability.usage_series import UsageSeries
from server.usage.meter import UsageMeter
from tests.server.rest import Rest, serving


def values(text: str, name: str) -> dict[str, float]:
    """The values of a counter, by its labels as Prometheus writes them."""
    found = re.findall(rf"^polyprefix_{name}_total{{(.*)}} (\S+)$", text, re.MULTILINE)
    return {labels: float(value) for labels, value in found}


@pytest.fixture
def counted(backbone: Backbone, tmp_path: Path) -> Iterator[Rest]:
    """A server that counts two tenants and one task."""
    with serving(tmp_path, backbone, max_tenant_series=2, max_task_series=1) as running:
        yield running


def classify(rest: Rest, tenant: str | None, model: str, *texts: str) -> int:
    body = {"model": model, "input": list(texts)}
    return rest.call("POST", "/v1/classify", tenant, json=body).status_code


def test_a_server_counts_what_its_tenants_and_tasks_use(counted: Rest) -> None:
    assert classify(counted, "acme", "examples/mood", "good", "bad") == 200
    assert classify(counted, "acme", "acme/mood", "good") == 200
    assert classify(counted, "acme", "acme/nothing", "good") == 404
    assert classify(counted, None, "examples/mood", "good") == 200
    assert classify(counted, "zoo", "examples/mood", "good") == 200
    text = counted.call("GET", "/metrics").text
    assert values(text, "tenant_texts") == {
        'tenant="acme"': 3, 'tenant="_none"': 1, 'tenant="zoo"': 1,
    }  # fmt: skip
    assert values(text, "task_texts") == {'task="examples/mood"': 4, 'task="_other"': 1}
    assert values(text, "task_requests") == {'task="examples/mood"': 3, 'task="_other"': 1}
    requests = values(text, "tenant_requests")
    assert requests['status="200",tenant="acme"'] == 2
    assert requests['status="404",tenant="acme"'] == 1
    total = re.search(r"^polyprefix_tokens_total (\S+)$", text, re.MULTILINE)
    assert total is not None
    assert sum(values(text, "tenant_tokens").values()) == float(total[1])
    assert sum(values(text, "task_tokens").values()) == float(total[1])
    for name in ("tenant_device_seconds", "task_device_seconds"):
        assert all(seconds > 0 for seconds in values(text, name).values())


def test_a_server_has_none_by_default(rest: Rest) -> None:
    assert Metrics().usage is None
    classify(rest, "acme", "acme/mood", "good")
    text = rest.call("GET", "/metrics").text
    assert "polyprefix_tenant_" not in text
    assert "polyprefix_task_" not in text


def test_labels_are_bounded_and_counters_never_start_over() -> None:
    collectors = CollectorRegistry()
    series = UsageSeries.within(collectors, max_tenants=2, max_tasks=3)
    assert series is not None
    for _ in range(2):
        for number in range(50):
            series.response_sent(f"t{number}", 200)
            series.text_run(f"t{number}", f"t{number}/a", 2, 0.5)
            series.request_answered(f"t{number}/a")
    text = generate_latest(collectors).decode()
    assert values(text, "tenant_texts") == {
        'tenant="t0"': 2, 'tenant="t1"': 2, 'tenant="_other"': 96,
    }  # fmt: skip
    assert len(values(text, "tenant_requests")) == 3
    for name in ("task_texts", "task_tokens", "task_device_seconds", "task_requests"):
        assert len(values(text, name)) == 4


@pytest.mark.parametrize(("tenants", "tasks"), [(5, 0), (0, 5)])
def test_either_kind_may_be_off(tenants: int, tasks: int) -> None:
    collectors = CollectorRegistry()
    series = UsageSeries.within(collectors, max_tenants=tenants, max_tasks=tasks)
    account = UsageMeter(series).account("acme", "acme/mood")
    account.add_text(7, 0.5)
    account.add_request()
    assert series is not None
    series.response_sent("acme", 200)
    text = generate_latest(collectors).decode()
    assert values(text, "tenant_tokens") == ({'tenant="acme"': 7} if tenants else {})
    assert values(text, "task_tokens") == ({'task="acme/mood"': 7} if tasks else {})
