"""A short soak with every fault: no wrong answer, no lost version, no error but retriable ones."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.cluster import Services, soak_of_servers
from tests.chaos.soak import Schedule
from tests.postgresql import start_postgresql
from tests.seaweedfs import credentials, start_seaweedfs


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    """Services of its own, because the soak stops them."""
    for name, value in credentials().items():
        monkeypatch.setenv(name, value)
    database, store = start_postgresql(), start_seaweedfs()
    yield Services(database, store)
    store.remove()
    database.remove()


def test_faults_under_traffic_violate_no_rule(tmp_path: Path, services: Services) -> None:
    with soak_of_servers(tmp_path, services) as soak:
        report = soak.run(Schedule(seconds=0.0, hold=1.5, every=2.0), print)
    assert report.violations == []
    assert report.num_faults == len(soak.faults)
    assert report.num_published > 1
    answered = report.num_requests - sum(report.errors.values())
    assert answered > 100
