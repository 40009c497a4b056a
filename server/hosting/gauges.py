"""Gauges that show the state of the engine and of the store."""

from prefixes.registry import PrefixRegistry
from server.engine.engine import Engine
from server.observability.metrics import Metrics


def add_gauges(engine: Engine, registry: PrefixRegistry, metrics: Metrics) -> None:
    """Add the gauges of the engine and of the store to the metrics."""
    resident = engine.resident_stats
    database = registry.database
    for name, meaning, read in (
        ("store_free_bytes", "Free disk space of the store.", lambda: registry.free_bytes),
        (
            "database_reachable",
            "1 while the database can be reached.",
            lambda: database.outage is None,
        ),
        (
            "database_outage_seconds",
            "Time since the database became unreachable, in seconds.",
            lambda: 0 if (outage := database.outage) is None else outage.seconds,
        ),
        ("waiting_inputs", "In-flight texts.", lambda: engine.num_waiting),
        ("resident_prefixes", "Prefixes on the device.", lambda: resident().num_resident),
        ("resident_bytes", "Device memory that prefixes use.", lambda: resident().used_bytes),
        (
            "resident_capacity_bytes",
            "Device memory that prefixes may use.",
            lambda: resident().capacity_bytes,
        ),
        ("pinned_prefixes", "Pinned prefixes on the device.", lambda: resident().num_pinned),
        (
            "waiting_prefix_loads",
            "Loads of prefixes that wait for device memory.",
            lambda: resident().num_waiting_loads,
        ),
        ("host_prefixes", "Prefixes in host memory.", lambda: resident().host.num_prefixes),
        ("host_bytes", "Host memory that prefixes use.", lambda: resident().host.used_bytes),
        (
            "max_batch_tokens",
            "Maximum number of tokens in a batch, as set or as measured at startup.",
            lambda: engine.max_batch_tokens,
        ),
        ("ready", "1 while the server accepts requests.", lambda: engine.problem is None),
    ):
        metrics.watch(name, meaning, read)
