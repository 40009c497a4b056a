"""The figures of closed loops: rates, batches that occur, and the CPU time around the model."""

import pytest

from bench.closed_loop import (
    APART,
    INFINITY,
    PLAIN,
    ClosedLoop,
    batch_rows,
    closed_figures,
    lone_figures,
)
from bench.figures import Figure

METRICS = """
# HELP polyprefix_batch_rows Texts in a batch.
polyprefix_batch_rows_bucket{le="1.0"} 3.0
polyprefix_batch_rows_count 4.0
polyprefix_batch_rows_sum 20.0
polyprefix_batch_rows_created 1.7e+09
"""


def loop(rate: float, **others: float) -> ClosedLoop:
    return ClosedLoop(**{"rate": rate, "p50": 10.0, "p99": 20.0, "cpu": 5.0, **others})


def by_name(served: dict[str, list[ClosedLoop]], absent: dict[str, str]) -> dict[str, Figure]:
    figures = closed_figures("g", "float32", "ours", served, absent, kernels={})
    return {figure.name: figure for figure in figures}


def test_batches_are_counted_by_the_metrics_of_the_server() -> None:
    assert batch_rows(METRICS) == {"sum": 20.0, "count": 4.0}
    assert batch_rows(METRICS.replace("rows_sum", "tokens_sum"))["sum"] == 0.0


def test_servers_are_compared_with_infinity_and_with_plain_kernels() -> None:
    served = {
        "ours": [loop(300.0, p99=10.0)] * 3,
        "ours" + APART: [loop(330.0)] * 3,
        "ours" + PLAIN: [loop(200.0)] * 3,
        INFINITY: [loop(100.0, p99=40.0)] * 3,
    }
    figures = by_name(served, {})
    assert figures[f"ours / {INFINITY}: requests/s"].measured == pytest.approx(3)
    assert figures[f"ours{APART} / {INFINITY}: requests/s"].measured == pytest.approx(3.3)
    assert figures[f"ours / {INFINITY}: p99"].measured == pytest.approx(0.25)
    assert figures["ours / plain kernels: requests/s"].measured == pytest.approx(1.5)
    assert figures["ours / plain kernels: requests/s"].holds


def test_cpu_time_is_compared_with_the_share_of_a_pass() -> None:
    figures = by_name({"ours": [loop(1.0, cpu=6.0, share=4.0, batch=7.5)]}, {})
    assert figures["ours: texts per batch"].measured == 7.5
    assert figures["ours: share of a pass"].measured == 4.0
    assert figures["ours: CPU per request / share of a pass"].measured == 1.5


def test_without_infinity_its_ratios_are_absent_with_the_reason() -> None:
    figures = by_name({"ours": [loop(1.0)]}, {INFINITY: "no network"})
    ratio = figures[f"ours / {INFINITY}: requests/s"]
    assert (ratio.measured, ratio.note) == (None, "no network")


def test_a_lone_request_is_compared_with_plain_kernels() -> None:
    served = {"ours": [loop(1.0, p50=6.0)] * 3, "ours" + PLAIN: [loop(1.0, p50=8.0)] * 3}
    figures = {each.name: each for each in lone_figures("g", "bfloat16", "ours", served)}
    assert figures["ours: p50"].measured == 6.0
    assert figures["ours / plain kernels: p50"].measured == 0.75
    assert figures["ours / plain kernels: p50"].holds
