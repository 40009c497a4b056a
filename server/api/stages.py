"""The stages of a request's way through the engine, from the times in its results."""

from collections.abc import Iterable

from server.batching.timings import Timings
from server.engine.values import InferenceResult
from server.observability.tracing import Stage


def stages_of(results: Iterable[InferenceResult]) -> list[Stage]:
    """Return the stages of the inputs. Those that were tokenized or batched together share them."""
    stages: dict[tuple[str, float, float], Stage] = {}
    for result in results:
        for stage in _stages(result.timings):
            stages.setdefault((stage.name, stage.started_at, stage.seconds), stage)
    return sorted(stages.values(), key=lambda stage: stage.started_at)


def _stages(timings: Timings) -> tuple[Stage, Stage, Stage]:
    queued_at = timings.started_at - timings.queue_seconds
    tokenized_at = queued_at - timings.tokenize_seconds
    batch = timings.batch
    sizes = {
        "polyprefix.batch.rows": batch.rows,
        "polyprefix.batch.tokens": batch.tokens,
        "polyprefix.batch.distinct_prefixes": batch.distinct_prefixes,
    }
    return (
        Stage("tokenize", tokenized_at, timings.tokenize_seconds),
        Stage("queue", queued_at, timings.queue_seconds),
        Stage("forward", timings.started_at, timings.device_seconds, sizes),
    )
