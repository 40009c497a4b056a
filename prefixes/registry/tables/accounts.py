"""The tables of tenants: keys, limits, webhooks, and the log of what they change."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from prefixes.registry.tables.schema import UtcDateTime, metadata

tenants = Table(
    "tenants",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("is_public", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("suspended_at", UtcDateTime),
    Column("deleted_at", UtcDateTime),
)

# A key without a tenant belongs to an operator.
api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), index=True),
    Column("secret_sha256", String(64), nullable=False),
    Column("label", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime),
    Column("role", String(16), nullable=False, server_default="admin"),
    Column("expires_at", UtcDateTime),
    Column("last_used_at", UtcDateTime),
    Column("replaced_by", String(16)),  # the id of the key that a rotation made
    # No defect can give an operator's rights to a tenant's key.
    CheckConstraint("(role = 'operator') = (tenant_id IS NULL)", name="ck_api_keys_operator"),
)

# One row for each limit that is set. -1 is "unlimited": not every database stores infinity.
tenant_limits = Table(
    "tenant_limits",
    metadata,
    Column("tenant_id", ForeignKey("tenants.id"), primary_key=True),
    Column("name", String(32), primary_key=True),
    Column("value", Float, nullable=False),
)

key_limits = Table(
    "key_limits",
    metadata,
    Column("key_id", ForeignKey("api_keys.id"), primary_key=True),
    Column("name", String(32), primary_key=True),
    Column("value", Float, nullable=False),
)

# `version` and `is_new` are the result of the request that used the key first.
idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("tenant_id", ForeignKey("tenants.id"), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("is_new", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False, index=True),
)

# `events` are separated by commas. A secret must be readable, because it signs messages.
webhooks = Table(
    "webhooks",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False, index=True),
    Column("url", Text, nullable=False),
    Column("events", Text, nullable=False),
    Column("secret", Text, nullable=False),
    Column("old_secret", Text),
    Column("old_secret_until", UtcDateTime),
    Column("is_enabled", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

# One row for each event and webhook. `state` is pending, delivered or failed. A pending row is due
# at `next_attempt_at`. `holder` is the lease of the server that attempts it now.
webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("webhook_id", ForeignKey("webhooks.id"), nullable=False),
    Column("message_id", String(32), nullable=False),
    Column("event", String(32), nullable=False),
    Column("body", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("num_attempts", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("attempted_at", UtcDateTime),
    Column("next_attempt_at", UtcDateTime),
    Column("status", Integer),
    Column("reason", Text),
    Column("holder", String(32)),
    Index(None, "state", "next_attempt_at"),
    Index(None, "webhook_id", "state", "id"),
)

# Rows are only ever added. They hold names and not foreign keys, because they outlive what they
# describe. `tenant` owns the object; `before` and `after` are JSON.
audit_events = Table(
    "audit_events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", Text, nullable=False),
    Column("key_id", String(16)),
    Column("request_id", Text),
    Column("tenant", String(64)),
    Column("action", String(32), nullable=False),
    Column("object", Text, nullable=False),
    Column("before", Text),
    Column("after", Text),
    Index(None, "tenant", "id"),
)
