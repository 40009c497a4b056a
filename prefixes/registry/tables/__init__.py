"""The registry's tables for SQLAlchemy Core; `migrations/` upgrades a database to them.

They refer to each other by name, so all of them are imported together, from here.
"""

from prefixes.registry.tables.accounts import (
    api_keys,
    audit_events,
    idempotency_keys,
    key_limits,
    tenant_limits,
    tenants,
    webhook_deliveries,
    webhooks,
)
from prefixes.registry.tables.activity import (
    answer_hours,
    batch_files,
    feedback_settings,
    key_usage_hours,
    recorded_answers,
    server_leases,
    training_cpu_time,
    trainings,
    usage_hours,
)
from prefixes.registry.tables.catalog import (
    alias_moves,
    aliases,
    canaries,
    deleted_blobs,
    deleted_versions,
    grants,
    paired_store,
    prefixes,
    registry_state,
    versions,
)
from prefixes.registry.tables.schema import UtcDateTime, metadata, now

__all__ = [
    "UtcDateTime",
    "alias_moves",
    "aliases",
    "answer_hours",
    "api_keys",
    "audit_events",
    "batch_files",
    "canaries",
    "deleted_blobs",
    "deleted_versions",
    "feedback_settings",
    "grants",
    "idempotency_keys",
    "key_limits",
    "key_usage_hours",
    "metadata",
    "now",
    "paired_store",
    "prefixes",
    "recorded_answers",
    "registry_state",
    "server_leases",
    "tenant_limits",
    "tenants",
    "training_cpu_time",
    "trainings",
    "usage_hours",
    "versions",
    "webhook_deliveries",
    "webhooks",
]
