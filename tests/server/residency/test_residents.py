import asyncio
import weakref
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from prefixes import Prefix
from prefixes.backbone import Backbone
from prefixes.errors import StoreCorrupted
from prefixes.spec import GoldenExample, Provenance
from server.errors import ResidencyBudgetExceeded
from server.residency.residents import ResidentPrefixes
from tests.factories import make_prefix
from tests.server.doubles import PrefixShelf, RecordingMetrics, until

pytestmark = pytest.mark.anyio


def residents_for(
    backbone: Backbone, shelf: PrefixShelf, metrics: RecordingMetrics, *, room_for: int
) -> ResidentPrefixes:
    one = next(iter(shelf.prefixes.values()))
    head_bytes = 4 * sum(one.tensors[f"head.output.{part}"].size for part in ("weight", "bias"))
    slot_bytes = backbone.empty_pool(one.spec.prefix_length).nbytes
    budget = room_for * (slot_bytes + head_bytes)
    return ResidentPrefixes(backbone, budget_bytes=budget, fetch=shelf.fetch, metrics=metrics)


async def test_a_leased_prefix_has_the_tensors_of_its_file_in_the_pool(
    backbone: Backbone, metrics: RecordingMetrics
) -> None:
    shelf = PrefixShelf.of(backbone, 1)
    residents = residents_for(backbone, shelf, metrics, room_for=1)
    lease = await residents.lease(shelf.digests[0])
    stored = residents.pool[:, 0, list(lease.resident.slots)]  # (L, P, H, D)
    expected = shelf.prefixes[shelf.digests[0]].tensors["prefix.keys"].transpose(0, 2, 1, 3)
    np.testing.assert_array_equal(stored.numpy(), expected)


async def test_many_requests_for_a_missing_prefix_wait_for_one_load(
    backbone: Backbone, metrics: RecordingMetrics
) -> None:
    shelf = PrefixShelf.of(backbone, 1)
    residents = residents_for(backbone, shelf, metrics, room_for=1)
    leases = await asyncio.gather(*(residents.lease(shelf.digests[0]) for _ in range(20)))
    assert shelf.num_fetches == 1
    assert len({id(lease.resident) for lease in leases}) == 1


async def test_the_least_recently_used_prefix_is_evicted(
    backbone: Backbone, metrics: RecordingMetrics
) -> None:
    shelf = PrefixShelf.of(backbone, 3)
    residents = residents_for(backbone, shelf, metrics, room_for=2)
    a, b, c = shelf.digests
    for digest in (a, b, a, c):  # b is the least recently used
        (await residents.lease(digest)).release()
    assert metrics.num_evictions == 1
    (await residents.lease(a)).release()
    assert shelf.num_fetches == 3
    (await residents.lease(b)).release()
    assert shelf.num_fetches == 4


async def test_a_load_waits_for_memory_while_prefixes_are_leased(
    backbone: Backbone, metrics: RecordingMetrics
) -> None:
    shelf = PrefixShelf.of(backbone, 2)
    residents = residents_for(backbone, shelf, metrics, room_for=1)
    held = await residents.lease(shelf.digests[0])
    shared = held.share()
    waiting = asyncio.create_task(residents.lease(shelf.digests[1]))
    held.release()
    held.release()  # a second release must not count
    await until(lambda: residents.stats.num_waiting_loads == 1)
    assert residents.lease_resident(shelf.digests[1]) is None
    shared.release()
    assert (await asyncio.wait_for(waiting, 30)).digest == shelf.digests[1]
    assert residents.stats.num_waiting_loads == 0


async def test_a_load_whose_callers_were_cancelled_can_be_evicted_for_the_next(
    backbone: Backbone, metrics: RecordingMetrics
) -> None:
    shelf = PrefixShelf.of(backbone, 3)
    residents = residents_for(backbone, shelf, metrics, room_for=1)
    held = await residents.lease(shelf.digests[0])
    gone = asyncio.create_task(residents.lease(shelf.digests[1]))
    waiting = asyncio.create_task(residents.lease(shelf.digests[2]))
    await until(lambda: residents.stats.num_waiting_loads == 2)
    gone.cancel()
    held.release()
    assert (await asyncio.wait_for(waiting, 10)).digest == shelf.digests[2]


async def test_loads_that_wait_for_memory_are_all_served(
    backbone: Backbone, metrics: RecordingMetrics
) -> None:
    shelf = PrefixShelf.of(backbone, 6)
    residents = residents_for(backbone, shelf, metrics, room_for=1)

    async def take(digest: str) -> None:
        (await residents.lease(digest)).release()

    held = await residents.lease(shelf.digests[0])
    takers = [asyncio.create_task(take(digest)) for digest in shelf.digests[1:]]
    await until(lambda: residents.stats.num_waiting_loads == 5)
    held.release()
    await asyncio.wait_for(asyncio.gather(*takers), 30)
    assert metrics.num_loads == 6  # nothing was evicted before it was used


async def test_a_caller_cancelled_as_the_load_ends_keeps_no_lease(
    backbone: Backbone, metrics: RecordingMetrics
) -> None:
    shelf = PrefixShelf.of(backbone, 1)
    residents = residents_for(backbone, shelf, metrics, room_for=1)
    leaving = asyncio.create_task(residents.lease(shelf.digests[0]))
    await until(lambda: residents.stats.num_resident == 1)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    residents.discard(shelf.digests[0])
    assert residents.stats.num_resident == 0


async def test_a_slow_load_does_not_delay_a_resident_prefix(
    backbone: Backbone, metrics: RecordingMetrics
) -> None:
    shelf = PrefixShelf.of(backbone, 2)
    residents = residents_for(backbone, shelf, metrics, room_for=2)
    (await residents.lease(shelf.digests[0])).release()
    shelf.gate.clear()
    slow = asyncio.create_task(residents.lease(shelf.digests[1]))
    await asyncio.wait_for(residents.lease(shelf.digests[0]), 30)
    assert not slow.done()
    shelf.gate.set()
    await asyncio.wait_for(slow, 30)


async def test_a_cancelled_caller_does_not_cancel_the_load_of_others(
    backbone: Backbone, metrics: RecordingMetrics
) -> None:
    shelf = PrefixShelf.of(backbone, 1)
    residents = residents_for(backbone, shelf, metrics, room_for=1)
    shelf.gate.clear()
    impatient = asyncio.create_task(residents.lease(shelf.digests[0]))
    patient = asyncio.create_task(residents.lease(shelf.digests[0]))
    await asyncio.sleep(0)  # both start and wait for the load
    impatient.cancel()
    shelf.gate.set()
    assert (await asyncio.wait_for(patient, 30)).digest == shelf.digests[0]


async def test_a_failed_load_fails_its_waiters_and_is_tried_again(
    backbone: Backbone, metrics: RecordingMetrics
) -> None:
    shelf = PrefixShelf.of(backbone, 1)
    (digest,) = shelf.digests
    prefix = shelf.prefixes.pop(digest)
    residents = ResidentPrefixes(backbone, budget_bytes=10**6, fetch=shelf.fetch, metrics=metrics)
    with pytest.raises(StoreCorrupted):
        await residents.lease(digest)
    shelf.prefixes[digest] = prefix
    assert (await residents.lease(digest)).digest == digest


async def test_a_prefix_larger_than_the_whole_budget_is_rejected(
    backbone: Backbone, metrics: RecordingMetrics
) -> None:
    shelf = PrefixShelf.of(backbone, 1, prefix_length=64)
    small = backbone.empty_pool(8).nbytes
    residents = ResidentPrefixes(backbone, budget_bytes=small, fetch=shelf.fetch, metrics=metrics)
    with pytest.raises(ResidencyBudgetExceeded, match="POLYPREFIX_RESIDENT_MIB"):
        await residents.lease(shelf.digests[0])


async def test_bytes_and_slots_come_back_after_any_number_of_evictions(
    backbone: Backbone, metrics: RecordingMetrics
) -> None:
    shelf = PrefixShelf.of(backbone, 5)
    residents = residents_for(backbone, shelf, metrics, room_for=2)
    rng = np.random.default_rng(3)
    for index in rng.integers(0, 5, 60):
        (await residents.lease(shelf.digests[index])).release()
    for digest in shelf.digests:
        residents.discard(digest)
    assert residents.stats.num_resident == 0
    assert residents.stats.used_bytes == 0
    assert sorted(residents._pool.budget._free_slots) == list(range(residents.pool.shape[2]))


class CopyingShelf(PrefixShelf):
    """A shelf that returns a copy each time, like a store, and counts the copies in memory."""

    def __init__(self, *prefixes: Prefix) -> None:
        super().__init__(*prefixes)
        self._read: list[weakref.ref[NDArray[Any]]] = []

    def fetch(self, digest: str) -> Prefix:
        prefix = super().fetch(digest)
        keys = prefix.tensors["prefix.keys"].copy()
        self._read.append(weakref.ref(keys))
        return replace(prefix, tensors={**prefix.tensors, "prefix.keys": keys})

    @property
    def num_held(self) -> int:
        return sum(one() is not None for one in self._read)


async def test_a_load_that_waits_for_memory_holds_no_prefix_meanwhile(
    backbone: Backbone, metrics: RecordingMetrics
) -> None:
    shelf = CopyingShelf(*PrefixShelf.of(backbone, 20).prefixes.values())
    residents = residents_for(backbone, shelf, metrics, room_for=1)
    held = await residents.lease(shelf.digests[0])
    waiting = [asyncio.create_task(residents.lease(digest)) for digest in shelf.digests[1:]]
    await until(lambda: residents.stats.num_waiting_loads == 19)
    await until(lambda: shelf.num_held == 0)
    held.release()
    for task in asyncio.as_completed(waiting):
        (await task).release()


async def test_a_load_that_fails_after_waiting_frees_its_memory(
    backbone: Backbone, metrics: RecordingMetrics
) -> None:
    shelf = PrefixShelf.of(backbone, 3)
    residents = residents_for(backbone, shelf, metrics, room_for=1)
    held = await residents.lease(shelf.digests[0])
    waiting = asyncio.create_task(residents.lease(shelf.digests[1]))
    await until(lambda: residents.stats.num_waiting_loads == 1)
    del shelf.prefixes[shelf.digests[1]]
    held.release()
    with pytest.raises(StoreCorrupted):
        await waiting
    assert residents.stats.used_bytes == 0
    await asyncio.wait_for(residents.lease(list(shelf.prefixes)[1]), 30)


async def test_records_that_serving_never_reads_are_dropped(
    backbone: Backbone, metrics: RecordingMetrics
) -> None:
    prefix = make_prefix(
        backbone.fingerprint,
        description="long",
        golden=(GoldenExample(fields={"text": "a film"}, logits=(1.0, 2.0)),),
        provenance=Provenance(created_at=datetime.now(UTC), tool="test"),
        metrics={"accuracy": 0.9},
    )
    shelf = PrefixShelf(prefix)
    residents = residents_for(backbone, shelf, metrics, room_for=1)
    spec = (await residents.lease(shelf.digests[0])).resident.spec
    assert (spec.golden, spec.provenance, spec.metrics, spec.description) == ((), None, {}, "")
    assert (spec.labels, spec.head, spec.max_length) == (
        prefix.spec.labels,
        prefix.spec.head,
        prefix.spec.max_length,
    )


async def test_a_pinned_prefix_is_never_evicted(
    backbone: Backbone, metrics: RecordingMetrics
) -> None:
    shelf = PrefixShelf.of(backbone, 6)
    residents = residents_for(backbone, shelf, metrics, room_for=2)
    pinned, *others = shelf.digests
    await residents.pin(pinned)
    for digest in others:
        (await residents.lease(digest)).release()
    residents.discard(pinned)
    assert residents.stats.num_pinned == 1
    (await residents.lease(pinned)).release()
    assert shelf.num_fetches == 6


async def test_an_unpinned_prefix_is_evicted_like_any_other(
    backbone: Backbone, metrics: RecordingMetrics
) -> None:
    shelf = PrefixShelf.of(backbone, 3)
    residents = residents_for(backbone, shelf, metrics, room_for=2)
    for _ in range(2):  # a second time changes nothing
        await residents.pin(shelf.digests[0])
    for _ in range(2):
        residents.unpin(shelf.digests[0])
    for digest in shelf.digests[1:]:
        await residents.lease(digest)  # both are held
    assert residents.stats.num_resident == 2
    assert residents.stats.num_pinned == 0


async def test_pinned_prefixes_cannot_use_the_whole_budget(
    backbone: Backbone, metrics: RecordingMetrics
) -> None:
    shelf = PrefixShelf.of(backbone, 3)
    residents = residents_for(backbone, shelf, metrics, room_for=2)
    await residents.pin(shelf.digests[0])
    with pytest.raises(ResidencyBudgetExceeded, match="POLYPREFIX_RESIDENT_MIB"):
        await residents.pin(shelf.digests[1])
    assert residents.stats.num_pinned == 1
    for digest in shelf.digests:
        (await asyncio.wait_for(residents.lease(digest), 30)).release()


async def test_a_prefix_that_never_fits_next_to_the_pinned_ones_is_rejected_at_once(
    backbone: Backbone, metrics: RecordingMetrics
) -> None:
    shelf = PrefixShelf.of(backbone, 1)
    large = make_prefix(backbone.fingerprint, prefix_length=5)
    shelf.prefixes["large"] = large
    residents = residents_for(backbone, shelf, metrics, room_for=2)
    await residents.pin(shelf.digests[0])
    with pytest.raises(ResidencyBudgetExceeded, match="pinned"):
        await asyncio.wait_for(residents.lease("large"), 30)
    residents.unpin(shelf.digests[0])
    (await asyncio.wait_for(residents.lease("large"), 30)).release()
