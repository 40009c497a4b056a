"""ReferenceResolver: from the references of a request to versions of the expected task type."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from functools import partial

from prefixes import PrefixRef
from prefixes.registry import PrefixRegistry, PrefixVersion, Target
from prefixes.spec import TaskType
from server.engine.values import TaskInput
from server.errors import WrongTaskType


class ReferenceResolver:
    """Resolves references from the registry's memory, or else on a thread."""

    def __init__(self, registry: PrefixRegistry, threads: Executor) -> None:
        self._registry = registry
        self._threads = threads

    async def resolve(
        self,
        inputs: Sequence[TaskInput],
        *,
        reader: str | None,
        routing_key: str | None,
        task_type: TaskType | None,
    ) -> tuple[dict[PrefixRef, Target], dict[PrefixRef, PrefixVersion]]:
        """Find the version for the reference of each input, one for all inputs of an alias.

        Returns:
            The target of each reference, and the version that answers.

        Args:
            inputs: the inputs of a request.
            reader: the caller's tenant.
            routing_key: decides whether the canary of an alias answers; None: never.
            task_type: the type that every version must have; None for any.

        Raises:
            PrefixNotFound: when a prefix does not exist, or the reader may not use it.
            WrongTaskType: when a task does not have the given type; names the first such input.
        """
        refs = {item.ref for item in inputs}
        targets = self._registry.recall(refs, reader=reader)
        if targets is None:
            read = partial(self._registry.resolve, refs, reader=reader)
            targets = await asyncio.get_running_loop().run_in_executor(self._threads, read)
        versions = {ref: target.version_for(routing_key) for ref, target in targets.items()}
        if task_type is not None:
            _check_task_types(inputs, versions, task_type)
        return targets, versions


def places_by_digest(
    inputs: Sequence[TaskInput], versions: Mapping[PrefixRef, PrefixVersion]
) -> dict[str, list[int]]:
    """Return the places of the inputs that each digest answers."""
    places: dict[str, list[int]] = {}
    for place, item in enumerate(inputs):
        places.setdefault(versions[item.ref].digest, []).append(place)
    return places


def _check_task_types(
    inputs: Sequence[TaskInput], versions: Mapping[PrefixRef, PrefixVersion], task_type: TaskType
) -> None:
    for place, item in enumerate(inputs):
        found = versions[item.ref].task_type
        if found != task_type:
            raise WrongTaskType(
                f"input[{place}]: {item.ref} has the task type {found}, but the request expects "
                f"{task_type}. Send this input in a request for its own task type.",
                place=place,
                task_type=found,
            )
