"""PrefixMemory: the prefixes on the device and in host memory, as read from the registry."""

from collections.abc import Iterable
from dataclasses import replace

from prefixes import Prefix
from prefixes.backbone import Backbone
from prefixes.registry import PrefixRegistry
from server.residency.golden_check import GoldenCheck
from server.residency.host_cache import HostCache, default_host_bytes
from server.residency.pool import ResidencyMetrics
from server.residency.residents import ResidentPrefixes, ResidentStats


class PrefixMemory:
    """Reads prefixes, checks them on quantized backbones, and keeps them within two budgets.

    Belongs to the event loop. `residents` are the prefixes on the device.
    """

    def __init__(
        self,
        backbone: Backbone,
        registry: PrefixRegistry,
        *,
        resident_bytes: int,
        host_bytes: int | None,
        metrics: ResidencyMetrics,
    ) -> None:
        """Set up the memory. `host_bytes` are chosen for the device if they are None."""
        self._fingerprint = backbone.fingerprint
        self._registry = registry
        self._golden = GoldenCheck(backbone) if backbone.is_quantized else None
        default = default_host_bytes(backbone.device)
        budget = default if host_bytes is None else host_bytes
        self._host = HostCache(self._read, budget_bytes=budget)
        self.residents = ResidentPrefixes(
            backbone,
            budget_bytes=resident_bytes,
            fetch=self._fetch,
            metrics=metrics,
            check=self._golden,
        )

    def stats(self) -> ResidentStats:
        """Report which prefixes are on the device and in the host cache."""
        return replace(self.residents.stats, host=self._host.stats)

    def digests(self) -> frozenset[str]:
        """Return the digests of all prefixes on the device and in the host cache."""
        return self.residents.digests() | self._host.digests()

    def discard(self, digests: Iterable[str]) -> None:
        """Free the memory of prefixes. A prefix that is in use or pinned stays on the device."""
        for digest in digests:
            self.residents.discard(digest)
            self._host.discard(digest)

    def _fetch(self, digest: str) -> Prefix:
        if self._golden is not None:
            self._golden.check_known(digest)
        return self._host.fetch(digest)

    def _read(self, digest: str) -> Prefix:
        return Prefix.from_bytes(self._registry.read(digest), fits=[self._fingerprint])
