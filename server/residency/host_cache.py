"""HostCache: the prefixes in the host's memory, between the device and the store.

A prefix that was evicted from the device comes back from here without being read, verified or
parsed again. Where the device is the CPU the pool itself is host memory, and nothing is kept twice.
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
"""What a prefix takes beside its numbers and its description: the objects around them."""

_BYTES_PER_LETTER: Final = 3
"""What a description takes in memory for each letter of its JSON, numbers most of all."""


def default_host_bytes(device: torch.device) -> int:
    """Give the room beside a device that an operator who says nothing gets; a CPU needs none."""
    return 0 if device.type == "cpu" else _DEFAULT_BYTES


@dataclass(frozen=True, slots=True)
class HostCacheStats:
    """What host memory holds beside the device."""

    num_prefixes: int = 0
    used_bytes: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    prefix: Prefix
    num_bytes: int


class HostCache:
    """Fetches prefixes by digest and keeps those used last, in so many bytes.

    Threads may share it. Two that miss the same prefix at once both fetch it: who loads for the
    device sees to it that nobody does.
    """

    def __init__(self, fetch: Callable[[str], Prefix], *, budget_bytes: int) -> None:
        """Set up room for prefixes.

        Args:
            fetch: reads a prefix by digest; what it raises is raised by `fetch` here.
            budget_bytes: bound on the bytes of all prefixes kept; 0 keeps none.
        """
        self._fetch = fetch
        self._budget_bytes = budget_bytes
        self._used_bytes = 0
        self._kept: OrderedDict[str, _Kept] = OrderedDict()  # least recently used first
        self._lock = threading.Lock()

    @property
    def stats(self) -> HostCacheStats:
        with self._lock:
            return HostCacheStats(len(self._kept), self._used_bytes)

    def fetch(self, digest: str) -> Prefix:
        """Give a prefix from memory, or fetch it and keep it for the next time."""
        with self._lock:
            kept = self._kept.get(digest)
            if kept is not None:
                self._kept.move_to_end(digest)
                return kept.prefix
        prefix = self._fetch(digest)
        if self._budget_bytes:
            self._keep(digest, _Kept(prefix, _bytes_of(prefix)))
        return prefix

    def _keep(self, digest: str, kept: _Kept) -> None:
        if kept.num_bytes > self._budget_bytes:
            return  # it would drive out all others and not fit even then
        with self._lock:
            known = self._kept.pop(digest, None)
            if known is not None:
                self._used_bytes -= known.num_bytes
            self._kept[digest] = kept
            self._used_bytes += kept.num_bytes
            while self._used_bytes > self._budget_bytes:
                _, oldest = self._kept.popitem(last=False)
                self._used_bytes -= oldest.num_bytes


def _bytes_of(prefix: Prefix) -> int:
    tensors = sum(tensor.nbytes for tensor in prefix.tensors.values())
    return tensors + _OBJECT_BYTES + _BYTES_PER_LETTER * len(prefix.spec.model_dump_json())
