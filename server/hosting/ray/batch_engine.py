"""BatchEngine: answers rows of batch files with the engines of all backbones."""

import asyncio
from collections.abc import Sequence
from typing import Any

from ray.serve.handle import DeploymentHandle

from prefixes.answers import NO_RULES
from prefixes.lengths import LengthOptions
from prefixes.registry import PrefixRegistry
from server.engine.values import InferenceResponse, TaskInput
from server.errors import EngineUnavailable
from server.hosting.ray.replicas import pools_of
from server.hosting.ray.routed_engine import RoutedEngine
from server.limits.allowance import Allowance


class BatchEngine:
    """Implements `BackgroundEngine` with a `RoutedEngine`, which the first row sets up.

    A replica that waited for the other backbones at its start could not replace a lost one while
    another backbone has no replica.
    """

    def __init__(self, handles: Sequence[DeploymentHandle[Any]], registry: PrefixRegistry) -> None:
        self._handles = handles
        self._registry = registry
        self._engine: RoutedEngine | None = None

    async def infer(
        self,
        inputs: Sequence[TaskInput],
        *,
        reader: str | None,
        lengths: LengthOptions,
        timeout_seconds: float,
        allowance: Allowance,
        is_background: bool,
    ) -> InferenceResponse:
        """Call `RoutedEngine.infer`.

        Raises:
            EngineUnavailable: also while a backbone has had no replica yet.
        """
        if self._engine is None:
            try:
                async with asyncio.timeout(timeout_seconds):
                    pools = await pools_of(self._handles, self._registry)
            except TimeoutError as error:
                raise EngineUnavailable("A backbone has no replica yet. Retry later.") from error
            # Another file may have set it up meanwhile. There must be one limiter.
            self._engine = self._engine or RoutedEngine(pools, self._registry.database)
        return await self._engine.infer(
            inputs,
            reader=reader,
            lengths=lengths,
            timeout_seconds=timeout_seconds,
            task_type=None,
            allowance=allowance,
            routing_key=None,
            recording=None,
            explain=None,
            rules=NO_RULES,
            is_background=is_background,
        )
