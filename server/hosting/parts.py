"""Builds the parts of an assembly from the settings."""

from prefixes.backbone import load_backbone
from prefixes.registry import PrefixRegistry
from prefixes.registry.deliveries import requeue_held as requeue_deliveries
from server.api.batch_answers import BatchAnswerer
from server.batch_files.pacing import Pacer
from server.batch_files.requeueing import requeue_held as requeue_batches
from server.batch_files.runner import BatchRunner
from server.engine.engine import Engine
from server.engine.options import EngineLimits
from server.leases import ServerLease
from server.observability.metrics import Metrics
from server.publishing import Publisher
from server.settings import Settings
from server.training_jobs.placement import Placement
from server.training_jobs.requeueing import requeue_held as requeue_trainings
from server.training_jobs.runner import TrainingRunner


def build_lease(settings: Settings, registry: PrefixRegistry, metrics: Metrics) -> ServerLease:
    """Build the lease on jobs of all kinds."""
    return ServerLease(
        registry.database,
        {
            "trainings": requeue_trainings,
            "batches": requeue_batches,
            "webhook_deliveries": requeue_deliveries,
        },
        metrics,
        seconds=settings.lease_seconds,
        lock_folder=settings.store_folder.absolute() / "servers",
    )


def build_trainings(
    settings: Settings,
    registry: PrefixRegistry,
    engine: Engine,
    metrics: Metrics,
    lease: ServerLease,
) -> TrainingRunner:
    """Build the runner of trainings for the backbone of an engine."""
    return TrainingRunner(
        settings,
        registry,
        Publisher(registry, engine, [engine.backbone.fingerprint]),
        metrics,
        lease=lease,
        placement=Placement.of(settings, engine.backbone.device),
        find_problem=lambda: engine.problem,
    )


def build_batches(
    settings: Settings,
    registry: PrefixRegistry,
    engine: Engine,
    answerer: BatchAnswerer,
    metrics: Metrics,
    *,
    lease: ServerLease,
) -> BatchRunner:
    """Build the runner of batch files. They leave most places of the engine to requests."""
    at_most = settings.max_waiting_inputs // 8  # the other places are for requests
    max_rows = max(1, min(settings.max_inputs_per_request, settings.max_batch_rows, at_most))
    return BatchRunner(
        settings,
        registry.database,
        metrics,
        lease=lease,
        answerer=answerer,
        pacer=Pacer(engine.has_been_quiet, max_rows=max_rows),
        find_problem=lambda: engine.problem,
    )


def build_engine(settings: Settings, registry: PrefixRegistry, metrics: Metrics) -> Engine:
    """Load the backbone, and build its engine.

    Raises:
        BackboneUnavailable: when it cannot be loaded.
    """
    backbone = load_backbone(
        settings.backbone,
        device=settings.device,
        dtype=settings.dtype,
        quantize=settings.quantize,
        linear_kernel=settings.linear_kernel,
        attention_kernel=settings.attention_kernel,
        kernel_cache=settings.kernel_cache,
    )
    target = settings.target_latency_ms
    limits = EngineLimits(
        max_batch_tokens=settings.max_batch_tokens,
        max_batch_rows=settings.max_batch_rows,
        max_waiting=settings.max_waiting_inputs,
        max_texts=settings.max_inputs_per_request,
        resident_bytes=settings.resident_mib * 2**20,
        host_bytes=None if settings.host_mib is None else settings.host_mib * 2**20,
        pinned=settings.pinned_refs,
        target_seconds=None if target is None else target / 1000,
        num_streams=settings.num_streams,
    )
    return Engine(backbone, registry, limits, metrics)
