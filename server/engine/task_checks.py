"""TaskChecks: what is known about a request from the descriptions of its tasks, before it runs."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor

from prefixes.answers import RuleOptions
from prefixes.occlusion import OcclusionOptions
from prefixes.registry import PrefixRegistry
from server.engine.admission import AdmittedRequest
from server.engine.estimates import expected_tokens
from server.engine.resolution import InputGroup
from server.engine.specs import SpecCache
from server.engine.values import TaskInput


class TaskChecks:
    """Checks rules and limits of requests. Belongs to the event loop."""

    def __init__(self, registry: PrefixRegistry, threads: Executor) -> None:
        self._specs = SpecCache(registry, threads)

    async def check(
        self,
        admitted: AdmittedRequest,
        inputs: Sequence[TaskInput],
        groups: Mapping[InputGroup, Sequence[int]],
        *,
        rules: RuleOptions,
        explain: OcclusionOptions | None,
    ) -> None:
        """Check the rules of a request, and charge the tokens that its inputs probably have.

        Requests that have neither rules nor limits cost nothing here.

        Raises:
            UnknownLabel: when a rule is for a label that no task has.
            InvalidRules: when no task has labels of the level.
            LimitExceeded: when the tokens exceed a limit of the tenant or of the key.
            PrefixNotFound: when a version was deleted meanwhile.
        """
        has_limits = bool(admitted.charge.allowance.accounts)
        if not rules.need_labels and not has_limits:
            return
        specs = await self._specs.find({group.digest for group in groups})
        rules.check(list(specs.values()))
        if has_limits:
            admitted.charge.expect_tokens(
                sum(
                    expected_tokens(specs[digest], inputs[place].fields, lengths, explain)
                    for (digest, lengths), places in groups.items()
                    for place in places
                )
            )
