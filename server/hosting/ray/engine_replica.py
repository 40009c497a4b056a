"""EngineReplica: an engine with its backbone, as a replica of a deployment of Ray Serve."""

from contextlib import AsyncExitStack
from typing import Any

from ray import serve
from ray.serve.handle import DeploymentHandle

from prefixes import BackboneFingerprint
from server.errors import EngineUnavailable
from server.hosting.assembly import Assembly, prepare_process
from server.hosting.front_ends.messages import Failure, Reply
from server.hosting.memory import freeze_live_objects, keep_freed_memory
from server.hosting.operator_key import ensure_operator_key
from server.hosting.ray.answering import answer
from server.hosting.ray.batch_engine import BatchEngine
from server.hosting.ray.calls import EngineCall
from server.hosting.ray.exposition import Exposition
from server.hosting.registry_of_settings import registry_of
from server.settings import Settings


class EngineReplica:
    """Runs what the process of a server runs, without HTTP. Serve calls its methods."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self, settings: Settings, *others: DeploymentHandle[Any], runs_jobs: bool
    ) -> None:
        """Load the backbone, and start the engine and the jobs around it.

        Args:
            settings: the settings of the operator, with the backbone of this replica.
            others: the engines of the other backbones, for batch files.
            runs_jobs: whether to run trainings and batch files.

        Raises:
            BackboneUnavailable, StoreUnavailable: Serve retries, and then fails the deployment.
        """
        context = serve.get_replica_context()
        self._name = context.replica_tag
        prepare_process(settings)
        registry = registry_of(settings)
        ensure_operator_key(registry.database, settings.store_folder, settings.operator_key)
        registry.database.follow_changes(outage_seconds=settings.database_outage_seconds)
        batch_engine = None
        if others:
            own = serve.get_deployment_handle(context.deployment, context.app_name)
            batch_engine = BatchEngine((own, *others), registry)
        self._assembly = Assembly.of(settings, registry, batch_engine=batch_engine)
        self._parts = AsyncExitStack()
        self._parts.callback(registry.close)
        await self._parts.enter_async_context(self._assembly.lifespan(runs_jobs=runs_jobs))
        keep_freed_memory()
        freeze_live_objects()

    async def fingerprint(self) -> BackboneFingerprint:
        """Return the backbone that uploaded prefixes must fit."""
        return self._assembly.engine.backbone.fingerprint

    async def answer(
        self,
        call: EngineCall,
        *,
        task: str | None,  # noqa: ARG002 - these are for the router
        num_tokens: int,  # noqa: ARG002
        attempt: int,  # noqa: ARG002
    ) -> Reply | Failure:
        """Answer the call of an ingress."""
        return await answer(call, self._assembly.engine, self._assembly.registry.database)

    async def own_exposition(self) -> Exposition:
        """Export the metrics of this replica."""
        return Exposition(self._name, await self._assembly.metrics.exposition())

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Report the load to the autoscaler of Serve."""
        return {"queued_tokens": float(self._assembly.engine.num_waiting_tokens)}

    def check_health(self) -> None:
        """Raise if the engine rejects work. Serve then replaces this replica."""
        problem = self._assembly.engine.problem
        if problem is not None:
            raise EngineUnavailable(problem)

    async def __del__(self) -> None:
        """Stop the jobs and the engine. Serve awaits this after the last request."""
        if hasattr(self, "_parts"):
            await self._assembly.drain()
            await self._parts.aclose()
