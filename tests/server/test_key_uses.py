"""The uses of keys are written in the background, and once more when the server stops."""

import logging

import pytest

from prefixes.errors import StoreUnavailable
from prefixes.registry import PrefixRegistry, open_registry
from prefixes.registry.key_uses import KeyUses
from server.api.key_uses import writing
from tests.server.doubles import EventCounter

pytestmark = pytest.mark.anyio


class CountedUses(KeyUses):
    """Counts writes; the first one fails."""

    def __init__(self, registry: PrefixRegistry) -> None:
        super().__init__(registry.database)
        self.written = EventCounter()

    def write(self) -> None:
        self.written.add()
        if self.written.count == 1:
            raise StoreUnavailable("the database is locked")


async def test_uses_are_written_although_one_write_failed_and_at_the_end(
    tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    registry = open_registry(tmp_path_factory.mktemp("uses"))
    uses = CountedUses(registry)
    async with writing(uses, seconds_between=0.001):
        await uses.written.reach(3)
    assert "the database is locked" in caplog.text
    before = uses.written.count
    async with writing(uses, seconds_between=3600):
        pass
    assert uses.written.count == before + 1
    registry.close()
