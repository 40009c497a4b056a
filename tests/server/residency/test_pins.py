import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from prefixes import Prefix, PrefixRef
from prefixes.backbone import Backbone
from prefixes.registry import PrefixRegistry, open_registry
from server.residency.pins import Pins
from server.residency.residents import ResidentPrefixes
from tests.factories import make_prefix
from tests.server.doubles import ManualSleep, RecordingMetrics, publish

pytestmark = pytest.mark.anyio


@pytest.fixture
def registry(tmp_path: Path) -> PrefixRegistry:
    return open_registry(tmp_path / "store")


@pytest.fixture
def residents(
    backbone: Backbone, registry: PrefixRegistry, metrics: RecordingMetrics
) -> ResidentPrefixes:
    """Memory for eight prefixes of length 4, seven of which may be pinned."""
    return ResidentPrefixes(
        backbone,
        budget_bytes=backbone.empty_pool(35).nbytes,
        fetch=lambda digest: Prefix.from_bytes(registry.read(digest)),
        metrics=metrics,
    )


def publish_live(registry: PrefixRegistry, backbone: Backbone, task: str, seed: int = 0) -> str:
    """Publish under acme, which is private, and move `live`; return the digest."""
    prefix = make_prefix(backbone.fingerprint, seed=seed)
    return publish(registry, "acme", task, prefix, alias="live").digest


def pins_of(
    registry: PrefixRegistry,
    residents: ResidentPrefixes,
    *refs: str,
    sleep: ManualSleep | None = None,
) -> Pins:
    parsed = [PrefixRef.parse(ref) for ref in refs]
    return Pins(parsed, registry, residents, ThreadPoolExecutor(1), sleep=sleep or ManualSleep())


def is_pinned(residents: ResidentPrefixes, digest: str) -> bool:
    """Whether a prefix that nobody uses stays on the device when it is discarded."""
    residents.discard(digest)
    lease = residents.lease_resident(digest)
    if lease is not None:
        lease.release()
    return lease is not None


async def test_pinned_prefixes_are_loaded_at_start_and_stay(
    backbone: Backbone, registry: PrefixRegistry, residents: ResidentPrefixes
) -> None:
    digests = [publish_live(registry, backbone, task, seed) for seed, task in enumerate("abc")]
    pins = pins_of(registry, residents, "acme/a", "acme/b@1", "acme/a:live")
    await pins.start()
    pins.stop()
    assert [is_pinned(residents, digest) for digest in digests] == [True, True, False]
    assert residents.stats.num_pinned == 2


async def test_when_an_alias_moves_the_new_version_is_pinned_instead_of_the_old_one(
    backbone: Backbone, registry: PrefixRegistry, residents: ResidentPrefixes
) -> None:
    old = publish_live(registry, backbone, "tone", seed=1)
    pins = pins_of(registry, residents, "acme/tone")
    await pins.follow()
    new = publish_live(registry, backbone, "tone", seed=2)
    await pins.follow()
    assert (is_pinned(residents, old), is_pinned(residents, new)) == (False, True)


async def test_the_next_round_pins_the_version_that_an_alias_moved_to(
    backbone: Backbone, registry: PrefixRegistry, residents: ResidentPrefixes
) -> None:
    publish_live(registry, backbone, "tone", seed=1)
    sleep = ManualSleep()
    pins = pins_of(registry, residents, "acme/tone", sleep=sleep)
    await pins.start()
    await sleep.until_asleep()
    new = publish_live(registry, backbone, "tone", seed=2)
    await sleep.elapse()
    assert is_pinned(residents, new)
    pins.stop()


async def test_a_prefix_that_is_not_pinned_is_logged_again_after_sixty_rounds(
    registry: PrefixRegistry, residents: ResidentPrefixes, caplog: pytest.LogCaptureFixture
) -> None:
    sleep = ManualSleep()
    pins = pins_of(registry, residents, "acme/missing", sleep=sleep)
    with caplog.at_level(logging.WARNING):
        await pins.start()
        await sleep.until_asleep()
        for _ in range(60):
            await sleep.elapse()
        assert len(caplog.records) == 1
        await sleep.elapse()
    assert len(caplog.records) == 2
    pins.stop()


async def test_a_missing_prefix_is_logged_once_and_the_others_are_pinned(
    backbone: Backbone,
    registry: PrefixRegistry,
    residents: ResidentPrefixes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    digests = [publish_live(registry, backbone, task, seed) for seed, task in enumerate("abc")]
    refs = ("acme/a", "acme/missing", "nobody/x@4", "acme/b", "acme/c@2", "acme/c")
    pins = pins_of(registry, residents, *refs)
    with caplog.at_level(logging.WARNING):
        await pins.follow()
        await pins.follow()
    assert all(is_pinned(residents, digest) for digest in digests)
    messages = [record.getMessage() for record in caplog.records]
    assert [line.split()[0] for line in messages] == ["acme/missing:live", "nobody/x@4", "acme/c@2"]


async def test_a_prefix_that_appears_later_is_pinned_then(
    backbone: Backbone, registry: PrefixRegistry, residents: ResidentPrefixes
) -> None:
    pins = pins_of(registry, residents, "acme/late")
    await pins.follow()
    digest = publish_live(registry, backbone, "late")
    await pins.follow()
    assert is_pinned(residents, digest)


async def test_a_deleted_prefix_is_unpinned(
    backbone: Backbone, registry: PrefixRegistry, residents: ResidentPrefixes
) -> None:
    digest = publish_live(registry, backbone, "tone")
    pins = pins_of(registry, residents, "acme/tone")
    await pins.follow()
    registry.remove_prefix("acme", "tone")
    await pins.follow()
    assert not is_pinned(residents, digest)


async def test_prefixes_beyond_the_pin_limit_are_logged_and_the_first_ones_are_pinned(
    backbone: Backbone,
    registry: PrefixRegistry,
    residents: ResidentPrefixes,
    metrics: RecordingMetrics,
    caplog: pytest.LogCaptureFixture,
) -> None:
    digests = [publish_live(registry, backbone, f"t{seed}", seed) for seed in range(9)]
    pins = pins_of(registry, residents, *(f"acme/t{seed}" for seed in range(9)))
    with caplog.at_level(logging.WARNING):
        await pins.follow()
        num_loads = metrics.num_loads
        await pins.follow()
    assert metrics.num_loads == num_loads  # a rejected prefix is not loaded in every round
    assert "POLYPREFIX_RESIDENT_MIB" in caplog.records[0].getMessage()
    assert is_pinned(residents, digests[0])
    for digest in digests:
        (await residents.lease(digest)).release()


async def test_a_store_that_fails_does_not_change_what_is_pinned(
    backbone: Backbone,
    registry: PrefixRegistry,
    residents: ResidentPrefixes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    digest = publish_live(registry, backbone, "tone")
    lost = publish_live(registry, backbone, "lost", seed=1)
    registry.store.delete(lost)
    pins = pins_of(registry, residents, "acme/lost", "acme/tone")
    with caplog.at_level(logging.WARNING):
        await pins.follow()
    assert is_pinned(residents, digest)
    assert caplog.records[0].getMessage().startswith("acme/lost:live is not pinned")
