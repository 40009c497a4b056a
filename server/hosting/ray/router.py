"""TaskAffinityRouter: the request router of Ray Serve for replicas of the engine."""

import time
from collections.abc import Sequence
from typing import Any

from ray.serve.request_router import PendingRequest, ReplicaID, RequestRouter, RunningReplica

from server.routing.affinity import AffinityPolicy
from server.routing.loads import ReplicaLoads
from server.routing.popularity import Popularity


class TaskAffinityRouter(RequestRouter):  # type: ignore[misc]  # Ray has no types for mypy
    """Applies the `AffinityPolicy` to the calls of `EngineReplicas.call`, by their arguments.

    Each ingress replica has one, on an event loop of its own. Serve tries the replicas in the order
    that it gets: the next one if a replica is full or has died.
    """

    def initialize_state(self, slack_tokens: float) -> None:
        """Set up. The argument is from `RequestRouterConfig.request_router_kwargs`."""
        self._policy = AffinityPolicy(slack_tokens)
        self._loads = ReplicaLoads()
        self._popularity = Popularity()

    async def choose_replicas(
        self,
        candidate_replicas: Sequence[RunningReplica],
        pending_request: PendingRequest | None = None,
    ) -> list[list[RunningReplica]]:
        """Return the replicas, each in a rank of its own."""
        if pending_request is None or (task := pending_request.kwargs.get("task")) is None:
            return [list(candidate_replicas)]  # the one with the fewest requests
        replicas = {replica.replica_id.unique_id: replica for replica in candidate_replicas}
        loads = self._loads.of(replicas)
        ranked = self._policy.rank(task, loads, self._popularity.share(task))
        first = pending_request.kwargs["attempt"] % len(ranked) if ranked else 0
        return [[replicas[name]] for name in ranked[first:] + ranked[:first]]

    def on_request_routed(
        self,
        pending_request: PendingRequest,
        replica_id: ReplicaID,
        result: Any,  # noqa: ARG002 - overrides
    ) -> None:
        """Count the request at the replica that accepted it."""
        task = pending_request.kwargs.get("task")
        if task is not None:
            num_tokens = pending_request.kwargs["num_tokens"]
            request_id = pending_request.metadata.internal_request_id
            self._loads.start(request_id, replica_id.unique_id, num_tokens)
            self._popularity.add(task, num_tokens, time.monotonic())

    def on_request_completed(self, replica_id: ReplicaID, internal_request_id: str) -> None:
        """Stop counting the request."""
        self._loads.end(internal_request_id, replica_id.unique_id)
