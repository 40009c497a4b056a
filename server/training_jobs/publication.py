"""From a worker's outcome to a version, and to the alias if it is the better one."""

from collections.abc import Mapping
from typing import Any

from fastapi.concurrency import run_in_threadpool

from prefixes.registry import PrefixRegistry
from server.publishing import Publisher
from server.training_jobs.folders import TrainingFolder
from server.training_jobs.promotion import judge, overtaken
from server.training_jobs.records import TrainingJob


async def publish_trained(
    training: TrainingJob,
    folder: TrainingFolder,
    outcome: Mapping[str, Any],
    *,
    registry: PrefixRegistry,
    publisher: Publisher,
) -> dict[str, Any]:
    """Publish what a worker has made, and promote it if the margin rule says so.

    Called again, after a server has ended midway, it comes to the same version.

    Raises:
        PrefixError: as `Publisher.publish`.
        ServingError: as `Publisher.publish`.
    """
    request = training.request
    live = folder.job()["live_version"]
    with registry.store.stage() as staged:
        await run_in_threadpool(lambda: staged.write(folder.prefix()))
        published = await publisher.publish(
            staged, tenant=request.tenant, task=request.task, alias=None, by=training.id
        )
    version = published.version
    verdict = judge(outcome, live_version=live, margin=request.margin)
    if verdict.is_promoted:
        is_moved = await run_in_threadpool(
            lambda: registry.replace(
                request.tenant,
                request.task,
                request.alias,
                version.number,
                instead_of=live,
                by=training.id,
            )
        )
        verdict = verdict if is_moved else overtaken(live)
    return {
        "ref": str(version.ref),
        "version": version.number,
        "live_version": live,
        "is_promoted": verdict.is_promoted,
        "reason": verdict.reason,
        **{
            name: outcome[name]
            for name in ("metric", "measured_on", "num_rows", "new", "live", "warnings")
        },
    }
