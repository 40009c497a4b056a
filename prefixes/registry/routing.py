"""Routing: which version of an alias answers a caller, its stable version or its canary.

The choice is a function of the canary and the caller's routing key alone. It needs no state, so
every process makes the same one, and a caller keeps its version for as long as the canary lasts.
"""

from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Final

from prefixes.registry.alias_values import CanaryPlan
from prefixes.registry.values import PrefixVersion
from prefixes.spec import AliasRuleSet

_NUM_BYTES: Final = 8
_ALL_POINTS: Final = 2 ** (8 * _NUM_BYTES)


@dataclass(frozen=True, slots=True)
class CanaryRoute:
    """The canary of an alias, as requests need it."""

    alias: str
    version: PrefixVersion
    plan: CanaryPlan
    started_at: datetime

    @property
    def identity(self) -> tuple[int, datetime]:
        """The version and the start: they stay while shares and bounds change."""
        return self.version.number, self.started_at

    def takes(self, routing_key: str) -> bool:
        """Return whether the canary answers the caller with this key.

        Each canary takes other callers than the one before, so that the same callers do not try
        all of them. A higher percentage keeps the callers of a lower one.
        """
        return _point(self.version, routing_key) * 100 < self.plan.percent * _ALL_POINTS


@dataclass(frozen=True, slots=True)
class Target:
    """A version that a reference stands for, and the canary and the rules that an alias has."""

    stable: PrefixVersion
    canary: CanaryRoute | None = None
    rules: AliasRuleSet | None = None

    def rules_for(self, version: PrefixVersion) -> AliasRuleSet | None:
        """Return the rules of the alias. A canary has those of its own file."""
        return self.rules if version == self.stable else None

    def version_for(self, routing_key: str | None) -> PrefixVersion:
        """Return the version that answers a caller. Callers without a key get the stable one."""
        canary = self.canary
        if canary is None or routing_key is None or not canary.takes(routing_key):
            return self.stable
        return canary.version


def _point(version: PrefixVersion, routing_key: str) -> int:
    """Map a caller to one of 2**64 points, evenly and differently for each version."""
    seed = f"{version.tenant}/{version.task}@{version.number}\0{routing_key}"
    digest = blake2b(seed.encode(), digest_size=_NUM_BYTES).digest()
    return int.from_bytes(digest)
