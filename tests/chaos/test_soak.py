"""A short soak: faults under traffic lose no acknowledged version and give no wrong answer."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.cluster import soak_of_servers
from tests.chaos.traffic import wrong_answer
from tests.postgresql import PostgresServer, start_postgresql


@pytest.fixture
def database() -> Iterator[PostgresServer]:
    """A server of its own, because the soak stops it."""
    server = start_postgresql()
    yield server
    server.remove()


def test_faults_under_traffic_give_no_wrong_answer_and_lose_no_version(
    tmp_path: Path, database: PostgresServer
) -> None:
    with soak_of_servers(tmp_path, database) as soak:
        report = soak.run(seconds=10.0)
    assert report.problems == []
    assert report.statuses[200] > 100
    assert report.num_published > 0


@pytest.mark.parametrize(
    ("model", "label", "is_right"),
    [
        ("acme/numbered@3", "version-3", True),
        ("acme/numbered@3", "version-2", False),
        ("acme/other@3", "version-3", False),
    ],
)
def test_an_answer_is_compared_with_the_version_that_it_names(
    model: str, label: str, *, is_right: bool
) -> None:
    body = {"results": [{"model": model, "label": label}]}
    assert (wrong_answer("numbered", body) is None) is is_right
