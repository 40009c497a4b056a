"""ReferenceResolver: from the references of a request to versions of the expected task type."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

from prefixes import PrefixRef
from prefixes.lengths import LengthOptions
from prefixes.registry import PrefixRegistry, PrefixVersion, Target
from prefixes.spec import AliasRuleSet, TaskType
from prefixes.template import InputFields
from server.engine.values import InferenceResult, TaskInput
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
    ) -> "ResolvedInputs":
        """Find the version for the reference of each input, one for all inputs of an alias.

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
        return ResolvedInputs(inputs, targets, versions)


class DeviceOutcome(Protocol):
    """The outcome of one input on the device. `server.engine.input_outcome` has the implementation.

    Front ends import this module, and must not import a model library.
    """

    def result(
        self, version: PrefixVersion, fields: InputFields, rules: AliasRuleSet | None
    ) -> InferenceResult: ...


class InputGroup(NamedTuple):
    """Inputs of a request that one prefix answers, with the same handling of long texts."""

    digest: str
    lengths: LengthOptions


@dataclass(frozen=True, slots=True, eq=False)
class ResolvedInputs:
    """The inputs of a request, and what their references stand for.

    `targets` and `versions` are by reference: its target, and the version that answers.
    """

    inputs: Sequence[TaskInput]
    targets: Mapping[PrefixRef, Target]
    versions: Mapping[PrefixRef, PrefixVersion]

    @property
    def rules(self) -> list[AliasRuleSet | None]:
        """The rules of the alias that each input names; None for those without rules."""
        found = {ref: one.rules_for(self.versions[ref]) for ref, one in self.targets.items()}
        return [item.rules or found[item.ref] for item in self.inputs]

    def groups(self, lengths: LengthOptions) -> dict[InputGroup, list[int]]:
        """Return the places of the inputs of each group.

        Args:
            lengths: the handling of long texts where an alias has no rule for it.
        """
        places: dict[InputGroup, list[int]] = {}
        for place, (item, its_rules) in enumerate(zip(self.inputs, self.rules, strict=True)):
            group = InputGroup(self.versions[item.ref].digest, lengths.over(its_rules))
            places.setdefault(group, []).append(place)
        return places

    def results(self, outcomes: Mapping[int, DeviceOutcome]) -> list[InferenceResult]:
        """Return the results of the inputs in their order, from the outcomes by place."""
        return [
            outcomes[place].result(self.versions[item.ref], item.fields, its_rules)
            for place, (item, its_rules) in enumerate(zip(self.inputs, self.rules, strict=True))
        ]


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
