"""SpecCache: the descriptions of versions, for checks and estimates before prefixes are loaded."""

import asyncio
from collections.abc import Collection
from concurrent.futures import Executor
from functools import partial
from typing import Final

from prefixes import PrefixSpec
from prefixes.registry import PrefixRegistry

_MAX_SPECS: Final = 256
"""A description with the most labels takes about a megabyte; most take a few kilobytes."""


class SpecCache:
    """Descriptions by digest, which never change. Belongs to the event loop."""

    def __init__(self, registry: PrefixRegistry, threads: Executor) -> None:
        self._registry = registry
        self._threads = threads
        self._specs: dict[str, PrefixSpec] = {}

    async def find(self, digests: Collection[str]) -> dict[str, PrefixSpec]:
        """Return the description of each digest. Those that are unknown are read on a thread.

        Raises:
            PrefixNotFound: when a version was deleted meanwhile.
            StoreUnavailable: when the database cannot be read.
        """
        missing = [digest for digest in digests if digest not in self._specs]
        found = {digest: self._specs.pop(digest) for digest in digests if digest in self._specs}
        if missing:
            read = partial(self._read, missing)
            found |= await asyncio.get_running_loop().run_in_executor(self._threads, read)
        self._specs |= found  # moved to the end: those at the beginning were not used recently
        for digest in list(self._specs)[: max(0, len(self._specs) - _MAX_SPECS)]:
            del self._specs[digest]
        return found

    def _read(self, digests: Collection[str]) -> dict[str, PrefixSpec]:
        return {digest: self._registry.spec(digest) for digest in digests}
