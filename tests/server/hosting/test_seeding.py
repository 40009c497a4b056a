import asyncio
import logging
from pathlib import Path

import pytest

from prefixes.backbone import Backbone
from prefixes.registry import COMMAND_LINE, Tenants, open_registry
from server.hosting.seeding import EXAMPLES_TENANT, seed_examples
from server.publishing import Publisher
from tests.factories import make_prefix
from tests.postgresql import PostgresServer
from tests.server.rest import FakeEngine


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
async def test_examples_are_published_once_and_again_when_they_change(
    backbone: Backbone, tmp_path: Path
) -> None:
    folder = tmp_path / "examples"
    folder.mkdir()
    registry = open_registry(tmp_path / "store")
    publisher = Publisher(registry, FakeEngine(registry), [backbone.fingerprint])
    file = folder / "mood.safetensors"
    for seed, versions in ((1, 1), (1, 1), (2, 2)):
        file.write_bytes(make_prefix(backbone.fingerprint, seed=seed).to_bytes())
        await seed_examples(folder, registry, publisher)
        entry = registry.show("examples", "mood", reader=None)
        assert [version.number for version in entry.versions] == list(range(1, versions + 1))
        assert [(alias.name, alias.version) for alias in entry.aliases] == [("live", versions)]
    registry.close()


@pytest.mark.anyio
async def test_an_example_that_does_not_fit_is_skipped_with_a_warning(
    backbone: Backbone, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    folder = tmp_path / "examples"
    folder.mkdir()
    other = backbone.fingerprint.model_copy(update={"vocab_size": 7})
    (folder / "foreign.safetensors").write_bytes(make_prefix(other).to_bytes())
    (folder / "broken.safetensors").write_bytes(b"no prefix")
    (folder / "Bad Name.safetensors").write_bytes(make_prefix(backbone.fingerprint).to_bytes())
    (folder / "good.safetensors").write_bytes(make_prefix(backbone.fingerprint).to_bytes())
    registry = open_registry(tmp_path / "store")
    publisher = Publisher(registry, FakeEngine(registry), [backbone.fingerprint])
    await seed_examples(folder, registry, publisher)
    assert [item.task for item in registry.list_prefixes(reader=None)] == ["good"]
    for name in ("foreign", "broken", "Bad Name"):
        assert f"skipped the example {name}.safetensors" in caplog.text
    registry.close()


@pytest.mark.anyio
async def test_the_tenant_of_the_examples_stays_private_if_an_operator_made_it_private(
    backbone: Backbone, tmp_path: Path
) -> None:
    folder = tmp_path / "examples"
    folder.mkdir()
    registry = open_registry(tmp_path / "store")
    publisher = Publisher(registry, FakeEngine(registry), [backbone.fingerprint])
    await seed_examples(folder, registry, publisher)
    assert registry.tenant(EXAMPLES_TENANT).is_public
    Tenants(registry.database).set_public(EXAMPLES_TENANT, is_public=False, by=COMMAND_LINE)
    await seed_examples(folder, registry, publisher)
    assert not registry.tenant(EXAMPLES_TENANT).is_public
    registry.close()


@pytest.mark.anyio
@pytest.mark.parametrize("change", ["suspend", "delete"])
async def test_a_server_starts_although_the_tenant_of_the_examples_is_suspended_or_deleted(
    backbone: Backbone, tmp_path: Path, change: str
) -> None:
    folder = tmp_path / "examples"
    folder.mkdir()
    registry = open_registry(tmp_path / "store")
    publisher = Publisher(registry, FakeEngine(registry), [backbone.fingerprint])
    for seed, is_changed in ((1, False), (2, True)):
        prefix = make_prefix(backbone.fingerprint, seed=seed)
        (folder / "mood.safetensors").write_bytes(prefix.to_bytes())
        if is_changed:
            getattr(Tenants(registry.database), change)(EXAMPLES_TENANT, by=COMMAND_LINE)
        await seed_examples(folder, registry, publisher)
    num_versions = len(registry.show(EXAMPLES_TENANT, "mood", reader=EXAMPLES_TENANT).versions)
    assert num_versions == {"suspend": 2, "delete": 1}[change]
    assert registry.list_prefixes(reader=None) == ()
    registry.close()


@pytest.mark.anyio
async def test_servers_that_start_at_the_same_time_publish_each_example_once(
    backbone: Backbone, tmp_path: Path, postgresql: PostgresServer
) -> None:
    folder = tmp_path / "examples"
    folder.mkdir()
    for seed, name in enumerate(("mood", "topic")):
        data = make_prefix(backbone.fingerprint, seed=seed).to_bytes()
        (folder / f"{name}.safetensors").write_bytes(data)
    url = postgresql.url(postgresql.create_database())
    registries = [open_registry(tmp_path / "store", database_url=url) for _ in range(3)]
    await asyncio.gather(
        *(
            seed_examples(folder, one, Publisher(one, FakeEngine(one), [backbone.fingerprint]))
            for one in registries
        )
    )
    for name in ("mood", "topic"):
        entry = registries[0].show("examples", name, reader=None)
        assert [version.number for version in entry.versions] == [1]
        assert [move.to_version for move in entry.aliases[0].moves] == [1]
    for one in registries:
        one.close()
