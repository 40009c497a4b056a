import threading
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
import torch

from prefixes import Prefix
from prefixes.backbone import Backbone
from prefixes.errors import StoreUnavailable
from server.residency.host_cache import HostCache, default_host_bytes
from tests.factories import make_prefix


class Shelf:
    """Prefixes of one size by the digests "0", "1" and so on, with the number of reads of each."""

    def __init__(self, backbone: Backbone, count: int) -> None:
        self.prefixes = {
            str(seed): make_prefix(backbone.fingerprint, seed=seed) for seed in range(count)
        }
        self.num_reads: dict[str, int] = dict.fromkeys(self.prefixes, 0)
        self._lock = threading.Lock()

    def read(self, digest: str) -> Prefix:
        if digest not in self.prefixes:
            raise StoreUnavailable(f"no {digest}")
        with self._lock:
            self.num_reads[digest] += 1
        return self.prefixes[digest]


def bytes_of_one(shelf: Shelf) -> int:
    host = HostCache(shelf.read, budget_bytes=2**30)
    host.fetch("0")
    shelf.num_reads["0"] = 0
    return host.stats.used_bytes


def host_of(shelf: Shelf, *, room_for: int) -> HostCache:
    return HostCache(shelf.read, budget_bytes=room_for * bytes_of_one(shelf))


def test_a_prefix_is_read_once_and_then_comes_from_the_cache(backbone: Backbone) -> None:
    shelf = Shelf(backbone, 1)
    host = host_of(shelf, room_for=1)
    assert host.fetch("0") is host.fetch("0")
    assert shelf.num_reads == {"0": 1}


def test_the_least_recently_used_prefix_is_evicted_from_the_cache(backbone: Backbone) -> None:
    shelf = Shelf(backbone, 3)
    host = host_of(shelf, room_for=2)
    for digest in ("0", "1", "0", "2", "0", "1"):  # "2" evicts "1"
        host.fetch(digest)
    assert shelf.num_reads == {"0": 1, "1": 2, "2": 1}


def test_a_prefix_takes_at_least_the_bytes_of_its_numbers(backbone: Backbone) -> None:
    shelf = Shelf(backbone, 1)
    numbers = sum(tensor.nbytes for tensor in shelf.prefixes["0"].tensors.values())
    assert bytes_of_one(shelf) > numbers


def test_a_cache_of_zero_bytes_keeps_nothing(backbone: Backbone) -> None:
    shelf = Shelf(backbone, 1)
    host = HostCache(shelf.read, budget_bytes=0)
    host.fetch("0")
    host.fetch("0")
    assert shelf.num_reads == {"0": 2}
    assert host.stats.used_bytes == 0


def test_a_prefix_larger_than_the_cache_evicts_nothing(backbone: Backbone) -> None:
    shelf = Shelf(backbone, 1)
    host = host_of(shelf, room_for=1)
    shelf.prefixes["large"] = make_prefix(backbone.fingerprint, prefix_length=64)
    shelf.num_reads["large"] = 0
    for digest in ("0", "large", "0"):
        host.fetch(digest)
    assert shelf.num_reads["0"] == 1
    assert host.stats.num_prefixes == 1


def test_a_failed_read_is_tried_again(backbone: Backbone) -> None:
    shelf = Shelf(backbone, 1)
    host = host_of(shelf, room_for=1)
    prefix = shelf.prefixes.pop("0")
    with pytest.raises(StoreUnavailable):
        host.fetch("0")
    shelf.prefixes["0"] = prefix
    assert host.fetch("0") is prefix


def test_many_threads_get_their_prefixes_and_stay_within_the_budget(backbone: Backbone) -> None:
    shelf = Shelf(backbone, 6)
    host = host_of(shelf, room_for=3)
    limit = 3 * bytes_of_one(shelf)

    def fetch_some(seed: int) -> None:
        rng = Random(seed)
        for _ in range(200):
            digest = str(rng.randrange(6))
            assert host.fetch(digest) is shelf.prefixes[digest]
            assert host.stats.used_bytes <= limit

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(fetch_some, range(8)))
    stats = host.stats
    assert stats.used_bytes == stats.num_prefixes * bytes_of_one(shelf)


def test_the_cache_is_off_by_default_on_a_cpu_alone() -> None:
    assert default_host_bytes(torch.device("cpu")) == 0
    assert default_host_bytes(torch.device("cuda")) > 0
