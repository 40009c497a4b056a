"""PublicPrefixes: whether callers without a key can use anything at all."""

import time
from typing import Final

from fastapi.concurrency import run_in_threadpool

from prefixes.registry import PrefixRegistry

_SECONDS: Final = 10.0


class PublicPrefixes:
    """Remembers for some seconds that there are public prefixes.

    While there are none it asks each time, so the first one can be used at once.
    """

    def __init__(self, registry: PrefixRegistry) -> None:
        self._registry = registry
        self._known_until = 0.0

    async def exist(self) -> bool:
        """Say whether there is a prefix that everybody may use.

        Raises:
            StoreUnavailable: when the database cannot be used.
        """
        if time.monotonic() < self._known_until:
            return True
        found = await run_in_threadpool(self._registry.public_example)
        if found is not None:
            self._known_until = time.monotonic() + _SECONDS
        return found is not None
