"""Service times: their file, and the capacity that follows from them."""

from pathlib import Path

import pytest

from bench.simulation.service_times import BatchTimes, LoadTimes, LoopTimes, ServiceTimes
from tests.bench.simulation.scenarios import TIMES


def test_a_file_has_everything(tmp_path: Path) -> None:
    path = tmp_path / "times.json"
    TIMES.write(path)
    read = ServiceTimes.read(path)
    assert read.batch.seconds(3, 60) == TIMES.batch.seconds(3, 60)
    assert (read.loop, read.load) == (TIMES.loop, TIMES.load)
    assert tuple(read.lengths) == tuple(TIMES.lengths)


def test_the_capacity_is_limited_by_the_core_or_by_the_slower_of_two() -> None:
    batch = BatchTimes(fixed=0.008, per_token=0.0001)
    apart = ServiceTimes(batch, LoopTimes(0.001, 0.002), lengths=(10, 30))
    shared = ServiceTimes(batch, LoopTimes(0.001, 0.002, shares_core=True), lengths=(10, 30))
    assert apart.capacity(rows=8) == pytest.approx(1 / 0.003)
    assert shared.capacity(rows=8) == pytest.approx(1 / 0.006)


def test_a_remote_store_and_cold_files_add_to_a_load() -> None:
    load = LoadTimes(store=0.001, device=0.001, disk=0.002).with_cold_files(remote=0.03)
    assert load.store == pytest.approx(0.033)
    assert load.disk == 0
