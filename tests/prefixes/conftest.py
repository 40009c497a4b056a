"""Fixtures for what is kept: a registry in a fresh folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from prefixes.registry import PrefixRegistry, open_database, open_registry
from tests.postgresql import PostgresServer
from tests.prefixes.places import BucketPlace, FolderPlace, Place
from tests.prefixes.publishing import publish
from tests.seaweedfs import SeaweedServer

SQLITE = "sqlite"
POSTGRESQL = "postgresql"

on_sqlite = pytest.mark.parametrize("database_url", [SQLITE], indirect=True)
"""Marks tests of what only SQLite has, such as its file."""

on_postgresql = pytest.mark.parametrize("database_url", [POSTGRESQL], indirect=True)
"""Marks tests of what only PostgreSQL has."""


@pytest.fixture(scope="session")
def migrated(postgresql: PostgresServer) -> str:
    """A database with all tables, which is copied for each test."""
    name = postgresql.create_database()
    open_database(postgresql.url(name)).close()
    return name


@pytest.fixture(params=[SQLITE, POSTGRESQL])
def database_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """The URL of each kind of database; None for the SQLite file in the store's folder."""
    if request.param == SQLITE:
        yield None
        return
    server: PostgresServer = request.getfixturevalue("postgresql")
    name = server.create_database(request.getfixturevalue("migrated"))
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Each kind of place for prefix files."""
    if request.param == "folder":
        return FolderPlace(tmp_path)
    server: SeaweedServer = request.getfixturevalue("seaweedfs")
    return BucketPlace(server.new_bucket(), tmp_path)


@pytest.fixture
def registry(tmp_path: Path, database_url: str | None) -> Iterator[PrefixRegistry]:
    """An empty registry with the tenants acme and globex, and the public tenant examples."""
    registry = open_registry(tmp_path / "registry", database_url=database_url)
    registry.ensure_tenant("acme")
    registry.ensure_tenant("globex")
    registry.ensure_tenant("examples", is_public=True)
    yield registry
    registry.close()


@pytest.fixture
def topic(registry: PrefixRegistry) -> PrefixRegistry:
    """A registry with three versions of acme/topic; live points to the first."""
    for text in ("a", "b", "c"):
        publish(registry, "acme", "topic", text)
    return registry
