"""Ingress: a replica that speaks HTTP for the replicas of the engine."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import chain
from typing import Any, Final, TypeVar

from fastapi import FastAPI
from ray import serve
from ray.serve.handle import DeploymentHandle

from server.app import create_app
from server.hosting.ray.exposition import Exposition, merged
from server.hosting.ray.replicas import pools_of
from server.hosting.ray.routed_engine import RoutedEngine
from server.hosting.registry_of_settings import registry_of
from server.limits.limiter import RequestLimiter
from server.observability.logs import configure_logging
from server.observability.metrics import Metrics
from server.settings import Settings
from server.shutdown import Shutdown

_SECONDS_BETWEEN_COUNTS: Final = 2.0
_PEER_SECONDS: Final = 5.0

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Ingress:
    """The application of a server, with a `RoutedEngine`. Serve calls its methods.

    All ingress replicas share the limits of tenants: each allows its share.
    """

    def __init__(self, settings: Settings, *engines: DeploymentHandle[Any]) -> None:
        """Set up, with one engine for each backbone, that of the default backbone first."""
        self._settings = settings
        self._registry = registry_of(settings)
        self._registry.database.follow_changes(outage_seconds=settings.database_outage_seconds)
        self._engines = engines
        context = serve.get_replica_context()
        self._name = context.replica_tag
        self._peers = serve.get_deployment_handle(context.deployment, context.app_name)
        self._metrics = Metrics(
            max_tenants=settings.max_tenant_series, max_tasks=settings.max_task_series
        )

    async def __serve_build_asgi_app__(self) -> FastAPI:
        """Build the application, once a replica of each engine says which backbone it has."""
        configure_logging()
        pools = await pools_of(self._engines, self._registry)
        engine = RoutedEngine(pools, self._registry.database)
        return create_app(
            self._settings,
            backbones=pools.fingerprints,
            engine=engine,
            registry=self._registry,
            metrics=self,
            while_served=self._served(engine.limiter),
            shutdown=Shutdown(),
        )

    async def own_exposition(self) -> Exposition:
        """Export the metrics of this replica."""
        return Exposition(self._name, await self._metrics.exposition())

    def request_done(
        self, route: str, status: int, seconds: float, tenant: str | None = None
    ) -> None:
        """Count a response of this replica."""
        self._metrics.request_done(route, status, seconds, tenant)

    async def exposition(self) -> bytes:
        """Export the metrics of all replicas, whichever of them is asked."""
        deployments = (self._peers, *self._engines)
        found = await asyncio.gather(
            *(_ask_all(handle, "own_exposition", Exposition) for handle in deployments)
        )
        return merged(chain(*found))

    async def is_serving(self) -> bool:
        """Answer the other replicas, which count those that do."""
        return True

    @asynccontextmanager
    async def _served(self, limiter: RequestLimiter) -> AsyncIterator[None]:
        counting = asyncio.create_task(self._keep_sharing_limits(limiter))
        try:
            yield
        finally:
            counting.cancel()
            self._registry.close()

    async def _keep_sharing_limits(self, limiter: RequestLimiter) -> None:
        """Allow this replica's share of the limits, by the number of replicas that answer."""
        while True:
            try:
                num_replicas = len(await _ask_all(self._peers, "is_serving", bool))
                limiter.share = 1 / max(1, num_replicas)
            except Exception:  # noqa: BLE001 - the top of a task: the next turn may succeed
                _log.exception("could not count the replicas that share the limits")
            await asyncio.sleep(_SECONDS_BETWEEN_COUNTS)


async def _ask_all(handle: DeploymentHandle[Any], method: str, kind: type[T]) -> list[T]:
    """Return what each replica answers. Those that are lost meanwhile are left out."""
    responses = handle.broadcast(method)
    found = await responses.results_async(timeout_s=_PEER_SECONDS, return_exceptions=True)
    return [one for one in found if isinstance(one, kind)]
