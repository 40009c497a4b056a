"""Publishes a trained prefix as a version, and moves the alias to it if it is better."""

from typing import Any

from fastapi.concurrency import run_in_threadpool

from prefixes.registry import Actor, Guard, PrefixRegistry
from server.publishing import Publisher
from server.training_jobs.folders import TrainingFolder
from server.training_jobs.promotion import decide, keep_other_version
from server.training_jobs.records import TrainingJob
from training.service.protocol.messages import Success


async def publish_trained(
    training: TrainingJob,
    folder: TrainingFolder,
    outcome: Success,
    *,
    registry: PrefixRegistry,
    publisher: Publisher,
    guard: Guard,
) -> dict[str, Any]:
    """Publish the prefix that a worker trained, promote it by the margin rule, return the result.

    A second call, after a server died halfway, returns the same version. `guard` prevents every
    change by a server that has lost the training.

    Raises:
        PrefixError: as `Publisher.publish`.
        ServingError: as `Publisher.publish`.
    """
    request = training.request
    job = folder.job()
    assert job is not None, "a worker had a job"
    with registry.store.stage() as staged:
        await run_in_threadpool(lambda: staged.write(folder.prefix()))
        published = await publisher.publish(
            staged,
            tenant=request.tenant,
            task=request.task,
            alias=None,
            by=Actor(training.id),
            guard=guard,
        )
    version = published.version
    decision = decide(outcome, live_version=job.live_version, margin=request.margin)
    if decision.is_promoted:
        is_moved = await run_in_threadpool(
            lambda: registry.replace(
                request.tenant,
                request.task,
                request.alias,
                version.number,
                instead_of=job.live_version,
                by=Actor(training.id),
                guard=guard,
            )
        )
        decision = decision if is_moved else keep_other_version(job.live_version)
    return {
        "ref": str(version.ref),
        "version": version.number,
        "live_version": job.live_version,
        "is_promoted": decision.is_promoted,
        "reason": decision.reason,
        **outcome.model_dump(exclude={"is_success"}),
    }
