"""Gauges that show the state of the engine and of the store."""

from prefixes.registry import PrefixRegistry
from server.engine.engine import Engine
from server.observability.metrics import Metrics


def add_gauges(engine: Engine, registry: PrefixRegistry, metrics: Metrics) -> None:
    """Show the state of the engine and the store among the metrics."""
    metrics.watch(
        "store_free_bytes", "Free bytes on the disk of the store.", lambda: registry.free_bytes
    )
    metrics.watch(
        "waiting_inputs", "Texts admitted and not yet answered.", lambda: engine.num_waiting
    )
    metrics.watch(
        "resident_prefixes",
        "Prefixes on the device.",
        lambda: engine.resident_stats().num_resident,
    )
    metrics.watch(
        "resident_bytes",
        "Bytes that prefixes take on the device.",
        lambda: engine.resident_stats().used_bytes,
    )
    metrics.watch(
        "pinned_prefixes",
        "Prefixes that never leave the device.",
        lambda: engine.resident_stats().num_pinned,
    )
    metrics.watch(
        "host_prefixes",
        "Prefixes in the host's memory, beside the device.",
        lambda: engine.resident_stats().host.num_prefixes,
    )
    metrics.watch(
        "host_bytes",
        "Bytes that prefixes take in the host's memory, beside the device.",
        lambda: engine.resident_stats().host.used_bytes,
    )
    metrics.watch(
        "resident_capacity_bytes",
        "Bytes that prefixes may take on the device.",
        lambda: engine.resident_stats().capacity_bytes,
    )
    metrics.watch(
        "max_batch_tokens",
        "Most tokens in one forward pass, as set or as found at start.",
        lambda: engine.max_batch_tokens,
    )
    metrics.watch("ready", "1 while requests are taken.", lambda: engine.problem is None)
