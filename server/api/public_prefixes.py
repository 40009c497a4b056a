"""PublicPrefixes: whether there is any prefix that callers without a key may use."""

import time
from typing import Final

from fastapi.concurrency import run_in_threadpool

from prefixes.errors import DatabaseUnreachable
from prefixes.registry import PrefixRegistry

_SECONDS: Final = 10.0


class PublicPrefixes:
    """Remembers for a few seconds that public prefixes exist.

    Their absence is not remembered, so that the first public prefix can be used at once.
    """

    def __init__(self, registry: PrefixRegistry) -> None:
        self._registry = registry
        self._known_until = 0.0

    async def exist(self) -> bool:
        """Return whether a public prefix exists.

        Raises:
            StoreUnavailable: when the database fails.
        """
        if time.monotonic() < self._known_until:
            return True
        try:
            found = await run_in_threadpool(self._registry.public_example)
        except DatabaseUnreachable:
            return True  # the one that is asked for may be cached
        if found is not None:
            self._known_until = time.monotonic() + _SECONDS
        return found is not None
