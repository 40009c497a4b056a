"""The metrics of several replicas in one text."""

import pytest

from server.hosting.ray.exposition import Exposition, merged
from server.observability.metrics import Metrics

pytestmark = pytest.mark.anyio


async def _exposition(name: str, num_evicted: int) -> Exposition:
    metrics = Metrics()
    for _ in range(num_evicted):
        metrics.prefix_evicted()
    return Exposition(name, await metrics.exposition())


async def test_each_sample_names_its_replica() -> None:
    both = [await _exposition("a", 2), await _exposition("b", 3)]
    lines = merged(both).decode().splitlines()

    assert 'polyprefix_prefix_evictions_total{replica="a"} 2.0' in lines
    assert 'polyprefix_prefix_evictions_total{replica="b"} 3.0' in lines
    assert lines.count("# TYPE polyprefix_prefix_evictions_total counter") == 1
    assert 'polyprefix_batch_rows_bucket{le="1.0",replica="a"} 0.0' in lines
