"""Calls of an ingress to a replica of the engine, and what can become of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from server.hosting.front_ends.messages import Failure, Method, Reply


@dataclass(frozen=True, slots=True, eq=False)
class EngineCall:
    """A call of a method.

    `known` are digests whose specs the caller has already. `registry_state` is the latest change
    that it has seen: no replica may answer with an older version.
    """

    method: Method
    arguments: Mapping[str, Any]
    known: frozenset[str] = frozenset()
    registry_state: int | None = None


class ReplicaLost(Exception):
    """A replica of the engine exited or became unreachable before it answered."""


class ReplicasBusy(Exception):
    """Every replica of the engine has its maximum number of requests."""


class EngineReplicas(Protocol):
    """The running replicas of one engine."""

    async def call(
        self, call: EngineCall, *, task: str | None, num_tokens: int, attempt: int
    ) -> Reply | Failure:
        """Let one replica answer.

        Args:
            call: the call.
            task: prefer the replicas of this task; None for any.
            num_tokens: an estimate of the work.
            attempt: the number of replicas that have failed to answer this call.

        Raises:
            ReplicaLost: when the replica did not answer.
            ReplicasBusy: when no replica accepts the call.
        """
        ...

    async def call_all(self, call: EngineCall) -> list[Reply | Failure]:
        """Let each replica answer. Those that are lost meanwhile are left out."""
        ...
