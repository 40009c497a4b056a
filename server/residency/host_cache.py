"""HostCache: recently used prefixes in host memory, between the device and the store.

A prefix that was evicted from the device is loaded from here without being read, verified and
parsed again. On a CPU the pool itself is host memory, so by default the cache keeps nothing.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch

from prefixes import Prefix

_DEFAULT_BYTES: Final = 4 * 2**30
_OBJECT_BYTES: Final = 4096
"""Estimated size of a prefix's Python objects, without its tensors and its description."""

_BYTES_PER_CHARACTER: Final = 3
"""Estimated size of a description in memory, for each character of its JSON."""


def default_host_bytes(device: torch.device) -> int:
    """Return the default size of the cache for a device; 0 for a CPU."""
    return 0 if device.type == "cpu" else _DEFAULT_BYTES


@dataclass(frozen=True, slots=True)
class HostCacheStats:
    """The contents of the host cache."""

    num_prefixes: int = 0
    used_bytes: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class _CacheEntry:
    prefix: Prefix
    num_bytes: int


class HostCache:
    """Fetches prefixes by digest, and keeps the most recently used within a number of bytes.

    Thread-safe. Two threads that miss the same prefix at once both fetch it. This does not happen
    in the engine, because requests for the same missing prefix share one load.
    """

    def __init__(self, fetch: Callable[[str], Prefix], *, budget_bytes: int) -> None:
        """Set up an empty cache.

        Args:
            fetch: reads a prefix by digest; its errors pass through.
            budget_bytes: limit on the bytes of all cached prefixes; 0 caches none.
        """
        self._fetch = fetch
        self._budget_bytes = budget_bytes
        self._used_bytes = 0
        self._entries: OrderedDict[str, _CacheEntry] = OrderedDict()  # least recently used first
        self._lock = threading.Lock()

    @property
    def stats(self) -> HostCacheStats:
        with self._lock:
            return HostCacheStats(len(self._entries), self._used_bytes)

    def digests(self) -> frozenset[str]:
        """Return the digests of all cached prefixes."""
        with self._lock:
            return frozenset(self._entries)

    def discard(self, digest: str) -> None:
        """Evict a prefix now; no effect on one that is not cached."""
        with self._lock:
            self._evict(digest)

    def fetch(self, digest: str) -> Prefix:
        """Return a prefix from the cache, or fetch it and cache it."""
        with self._lock:
            entry = self._entries.get(digest)
            if entry is not None:
                self._entries.move_to_end(digest)
                return entry.prefix
        prefix = self._fetch(digest)
        if self._budget_bytes:
            self._add(digest, _CacheEntry(prefix, _bytes_of(prefix)))
        return prefix

    def _add(self, digest: str, entry: _CacheEntry) -> None:
        if entry.num_bytes > self._budget_bytes:
            return  # it would evict all others and still not fit
        with self._lock:
            self._evict(digest)
            self._entries[digest] = entry
            self._used_bytes += entry.num_bytes
            while self._used_bytes > self._budget_bytes:
                self._evict(next(iter(self._entries)))

    def _evict(self, digest: str) -> None:
        entry = self._entries.pop(digest, None)
        if entry is not None:
            self._used_bytes -= entry.num_bytes


def _bytes_of(prefix: Prefix) -> int:
    tensors = sum(tensor.nbytes for tensor in prefix.tensors.values())
    return tensors + _OBJECT_BYTES + _BYTES_PER_CHARACTER * len(prefix.spec.model_dump_json())
