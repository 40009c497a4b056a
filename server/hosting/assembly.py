"""Assembly: builds all parts of a server from its settings, and serves."""

import asyncio
import socket
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Self

import torch
import uvicorn
from transformers.utils import logging as transformers_logging

from prefixes.cores import num_usable_cores
from prefixes.registry import PrefixRegistry
from prefixes.registry.answer_hours import AnswerHours
from prefixes.registry.deliveries import DeliveryQueue
from server.api.batch_answers import BackgroundEngine, BatchAnswerer
from server.app import create_app
from server.batch_files.runner import BatchRunner
from server.drift.watch import DriftWatch
from server.engine.engine import Engine
from server.engine.recording.store import answer_store
from server.hosting.draining import DrainingServer
from server.hosting.front_ends.engine_process import EngineProcess
from server.hosting.front_ends.shared_changes import ENGINE_PLACE, follow_changes, shared_file
from server.hosting.gauges import add_gauges
from server.hosting.lifespan import lifespan
from server.hosting.memory import keep_freed_memory
from server.hosting.operator_key import ensure_operator_key
from server.hosting.parts import build_batches, build_engine, build_lease, build_trainings
from server.hosting.retention import RetentionSweeps
from server.leases import ServerLease
from server.observability.logs import configure_logging
from server.observability.metrics import Metrics
from server.settings import Settings
from server.shutdown import Shutdown
from server.training_jobs.runner import TrainingRunner
from server.webhooks.addresses import AddressRules
from server.webhooks.client import WebhookClient
from server.webhooks.deliverer import Deliverer

_SWITCH_SECONDS: Final = 0.001
"""Time after which a thread that runs Python gives the interpreter lock to one that waits for it.

A forward pass takes the lock between its operations. With the default of 5 ms, the slowest passes
of lone texts next to a flood waited for it for 15 of 42 ms, while requests were read and answered.
"""


def serve(
    settings: Settings,
    registry: PrefixRegistry,
    listener: socket.socket,
    announce: Callable[[], None],
) -> None:
    """Load the backbone, and answer requests until a signal.

    Args:
        settings: the settings of the operator.
        registry: the prefixes, tenants and keys. The caller closes it.
        listener: a socket that is bound to the address to listen on.
        announce: called when the server accepts requests.

    Raises:
        BackboneUnavailable: when the backbone cannot be loaded, or there is no device for
            trainings.
        FrontEndFailed: when a front end cannot start.
    """
    prepare_process(settings)
    assembly = Assembly.of(settings, registry)
    ensure_operator_key(registry.database, settings.store_folder, settings.operator_key)
    keep_freed_memory()
    with shared_file() as changes:
        follow_changes(registry.database, settings, changes, ENGINE_PLACE)
        if settings.num_front_ends:
            assembly.serve_through_front_ends(listener, changes, announce)
        else:
            assembly.serve_alone(listener, announce)


def prepare_process(settings: Settings) -> None:
    """Set the logs and the threads of a process that will run an engine."""
    transformers_logging.disable_progress_bar()
    # By itself, torch starts a thread for each processor, also in a container with a CPU quota.
    usable = min(torch.get_num_threads(), num_usable_cores())
    torch.set_num_threads(settings.num_threads or usable)
    configure_logging()
    sys.setswitchinterval(_SWITCH_SECONDS)


@dataclass(frozen=True, slots=True, eq=False)
class Assembly:
    """The parts of a server, with or without front ends."""

    settings: Settings
    registry: PrefixRegistry
    engine: Engine
    metrics: Metrics
    lease: ServerLease
    trainings: TrainingRunner
    batches: BatchRunner
    shutdown: Shutdown

    @classmethod
    def of(
        cls,
        settings: Settings,
        registry: PrefixRegistry,
        *,
        batch_engine: BackgroundEngine | None = None,
    ) -> Self:
        """Load the backbone, and build the engine and the parts around it.

        Args:
            settings: the settings of the operator.
            registry: the prefixes, tenants and keys.
            batch_engine: answers rows of batch files, also for other backbones; None: the engine.
        """
        metrics = Metrics(
            max_tenants=settings.max_tenant_series, max_tasks=settings.max_task_series
        )
        engine = build_engine(settings, registry, metrics)
        add_gauges(engine, registry, metrics)
        lease = build_lease(settings, registry, metrics)
        trainings = build_trainings(settings, registry, engine, metrics, lease)
        answerer = BatchAnswerer(
            batch_engine or engine,
            registry,
            settings.default_model,
            settings.request_timeout_seconds,
        )
        batches = build_batches(settings, registry, engine, answerer, metrics, lease=lease)
        return cls(settings, registry, engine, metrics, lease, trainings, batches, Shutdown())

    def serve_alone(self, listener: socket.socket, announce: Callable[[], None]) -> None:
        """Serve from this process."""
        application = create_app(
            self.settings,
            backbones=[self.engine.backbone.fingerprint],
            engine=self.engine,
            registry=self.registry,
            metrics=self.metrics,
            while_served=self.lifespan(),
            shutdown=self.shutdown,
        )
        server = DrainingServer.of(self.settings, application, drain=self.drain, announce=announce)
        server.run(sockets=[listener])

    def serve_through_front_ends(
        self, listener: socket.socket, changes: int, announce: Callable[[], None]
    ) -> None:
        """Serve from this process, with front ends that speak HTTP.

        `changes` is the descriptor of the file of `shared_file`.
        """
        process = EngineProcess(
            self.settings,
            self.engine,
            self.metrics,
            listener,
            changes,
            drain=self.drain,
        )
        # The same event loop as without front ends.
        loop_factory = uvicorn.Config(create_app).get_loop_factory()
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(process.run(self.lifespan(), announce))

    def lifespan(self, *, runs_jobs: bool = True) -> AbstractAsyncContextManager[None]:
        """Run the engine and the work around it, with or without trainings and batch files."""
        grace = timedelta(days=self.settings.deleted_prefix_days)
        sweeps = RetentionSweeps(
            self.registry,
            self.engine,
            answer_store(self.settings, self.registry.database),
            grace=grace,
            max_feedback_days=self.settings.max_feedback_days,
        )
        deliverer = Deliverer(
            DeliveryQueue(self.registry.database),
            WebhookClient(AddressRules(self.settings.webhook_network_list)),
            self.metrics,
            lease=self.lease,
        )
        drift = DriftWatch(
            self.engine.statistics,
            AnswerHours(self.registry.database),
            self.metrics,
            bound=self.settings.drift_bound,
            retention=timedelta(days=self.settings.usage_retention_days),
        )
        jobs = (self.trainings.running(), self.batches.running()) if runs_jobs else ()
        background = (
            self.lease.running(),
            sweeps.running(),
            *jobs,
            deliverer.running(),
            drift.running(),
        )
        return lifespan(self.engine, self.registry, self.settings, *background)

    async def drain(self) -> None:
        """End event streams and incomplete bodies, then wait for the engine and all jobs."""
        await self.shutdown.begin()
        await asyncio.gather(self.engine.drain(), self.trainings.stop(), self.batches.stop())
