"""Fixtures of the REST tests. Tests that only read, or use names of their own, share one server."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest

from prefixes.backbone import Backbone, EncodedText, pool_of
from server.batching.work import Work
from tests.factories import make_prefix
from tests.postgresql import PostgresServer
from tests.server.doubles import MakeWork, RecordingMetrics, fake_lease
from tests.server.rest import FakeEngine, Rest, new_registry, put_some, serving

Serve = Callable[..., tuple[Rest, FakeEngine]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """The URL of each kind of database; None for SQLite in the store folder."""
    if request.param == "sqlite":
        yield None
        return
    server: PostgresServer = request.getfixturevalue("postgresql")
    name = server.create_database()
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture(scope="session")
def rest(backbone: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rest]:
    """A server with the real engine on the tiny backbone."""
    folder = tmp_path_factory.mktemp("rest")
    with serving(folder, backbone, max_inputs_per_request=8, max_body_kib=64) as running:
        yield running


@pytest.fixture
def serve(backbone: Backbone, tmp_path: Path) -> Iterator[Serve]:
    """Starts servers with a fake engine that a test controls, and with any settings."""
    stack = ExitStack()

    def start(**choices: Any) -> tuple[Rest, FakeEngine]:
        registry, keys = new_registry(tmp_path / "store")
        put_some(registry, backbone.fingerprint)
        engine = FakeEngine(registry)
        context: AbstractContextManager[Rest] = serving(
            tmp_path / "store", backbone, engine, **choices
        )
        running = stack.enter_context(context)
        running.keys |= keys
        return running, engine

    with stack:
        yield start


@pytest.fixture
def metrics() -> RecordingMetrics:
    return RecordingMetrics()


@pytest.fixture
def make_work(backbone: Backbone) -> MakeWork:
    """Make works that need no residency: a call of `on_release` stands for the lease's release."""
    _, (resident,) = pool_of(backbone, [make_prefix(backbone.fingerprint)])

    def make(
        num_tokens: int = 5,
        *,
        deadline: float = float("inf"),
        on_release: Callable[[], object] = int,
        tenant: str | None = None,
        weight: float = 1.0,
    ) -> Work:
        text = EncodedText([7] * num_tokens, [0] * num_tokens)
        lease = fake_lease(resident, on_release)
        return Work(lease, text, deadline, enqueued_at=0.0, tenant=tenant, weight=weight)

    return make
