"""RayReplicas: the replicas of an engine, called through a handle of Ray Serve."""

import asyncio
from collections.abc import Sequence
from typing import Any

from ray.exceptions import RayActorError
from ray.serve.exceptions import (
    BackPressureError,
    DeploymentUnavailableError,
    ReplicaUnavailableError,
)
from ray.serve.handle import DeploymentHandle

from prefixes.registry import PrefixRegistry
from server.errors import EngineUnavailable
from server.hosting.front_ends.messages import Failure, Reply
from server.hosting.ray.calls import EngineCall, ReplicaLost, ReplicasBusy
from server.hosting.ray.pools import EnginePool, EnginePools


async def pools_of(
    handles: Sequence[DeploymentHandle[Any]], registry: PrefixRegistry
) -> EnginePools:
    """Wait until each engine says which backbone it has."""
    found = await asyncio.gather(*(handle.fingerprint.remote() for handle in handles))
    pools = [EnginePool(one, RayReplicas(of)) for one, of in zip(found, handles, strict=True)]
    return EnginePools(pools, registry)


class RayReplicas:
    """Implements `EngineReplicas`."""

    def __init__(self, handle: DeploymentHandle[Any]) -> None:
        self._handle = handle

    async def call(
        self, call: EngineCall, *, task: str | None, num_tokens: int, attempt: int
    ) -> Reply | Failure:
        """Let the replica answer that the router of the deployment chooses."""
        try:
            response = self._handle.answer.remote(
                call, task=task, num_tokens=num_tokens, attempt=attempt
            )
            reply: Reply | Failure = await _result(response)
        except (RayActorError, ReplicaUnavailableError) as error:
            raise ReplicaLost(str(error)) from error
        except BackPressureError as error:
            raise ReplicasBusy(str(error)) from error
        except DeploymentUnavailableError as error:
            raise EngineUnavailable(
                "The engine could not be deployed. The logs of Ray say why."
            ) from error
        return reply

    async def call_all(self, call: EngineCall) -> list[Reply | Failure]:
        """Let each replica answer."""
        responses = self._handle.broadcast("answer", call, task=None, num_tokens=0, attempt=0)
        results = await responses.results_async(return_exceptions=True)
        return [one for one in results if isinstance(one, Reply | Failure)]


async def _result(response: Any) -> Any:
    try:
        return await response
    except asyncio.CancelledError:
        response.cancel()  # or the replica would go on without a reader
        raise
