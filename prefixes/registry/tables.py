"""The registry's tables for SQLAlchemy Core; `migrations/` upgrades a database to them."""

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
)

# A later migration can change only named constraints, and SQLite does not name them itself.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """A time in UTC. SQLite stores no time zone, so it is removed and restored here."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


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

# A row stays when the last version is deleted, since its counter prevents reuse of numbers.
prefixes = Table(
    "prefixes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("task", String(64), nullable=False),
    Column("next_version", Integer, nullable=False),
    Column("is_public", Boolean, nullable=False, server_default=false()),
    # Of a deleted task: its former name, because `task` is then one that no task can have.
    Column("deleted_task", String(64)),
    Column("deleted_at", UtcDateTime, index=True),
    Column("keep_versions", Integer),
    Column("keep_days", Float),
    # Answers given before this moment were deleted: none of them may be written any more.
    Column("answers_deleted_at", UtcDateTime),
    UniqueConstraint("tenant_id", "task"),
)

# The tenants that may read a private task of another tenant, by name: an owner must not learn from
# an error which other tenants exist.
grants = Table(
    "grants",
    metadata,
    Column("prefix_id", ForeignKey("prefixes.id"), primary_key=True),
    Column("reader", String(64), primary_key=True),
)

# `spec` is long. Every request reads the columns before it, and SQLite need not page through
# `spec` for them. `task_type`, which lists of versions read too, was added later.
versions = Table(
    "versions",
    metadata,
    Column("prefix_id", ForeignKey("prefixes.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("digest", String(64), nullable=False, index=True),
    Column("size_bytes", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("spec", Text, nullable=False),
    Column("task_type", String(32), nullable=False, server_default="sequence_classification"),
    UniqueConstraint("prefix_id", "digest"),
)

# Versions that can still be restored. They are not in `versions`, so that no query finds them.
deleted_versions = Table(
    "deleted_versions",
    metadata,
    Column("prefix_id", ForeignKey("prefixes.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("digest", String(64), nullable=False, index=True),
    Column("size_bytes", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("spec", Text, nullable=False),
    Column("task_type", String(32), nullable=False),
    Column("deleted_at", UtcDateTime, nullable=False, index=True),
    UniqueConstraint("prefix_id", "digest"),
)

# `rules` is the JSON of the rules that replace those of the version's file. `rules_revision` is the
# id of the row in `alias_moves` that set them.
aliases = Table(
    "aliases",
    metadata,
    Column("prefix_id", Integer, primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("rules", Text),
    Column("rules_revision", Integer),
    # The database itself rejects the deletion of a version that an alias points to.
    ForeignKeyConstraint(["prefix_id", "version"], ["versions.prefix_id", "versions.number"]),
)

# `revision` is the id of the last row in `alias_moves` about the canary. `counts` is what servers
# have counted about it, which no `AnswerCache` contains.
canaries = Table(
    "canaries",
    metadata,
    Column("prefix_id", Integer, primary_key=True),
    Column("alias", String(64), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("percent", Float, nullable=False),
    Column("shadow_percent", Float, nullable=False, server_default="0"),
    Column("max_error_percent", Float),
    Column("max_disagreement_percent", Float),
    Column("min_samples", Integer, nullable=False, server_default="100"),
    Column("revision", Integer, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("started_by", Text, nullable=False),
    Column("counts", Text),
    # As for aliases, the database rejects the deletion of a version that is still used.
    ForeignKeyConstraint(
        ["prefix_id", "alias"],
        ["aliases.prefix_id", "aliases.name"],
        name="fk_canaries_prefix_id_aliases",
    ),
    ForeignKeyConstraint(
        ["prefix_id", "version"],
        ["versions.prefix_id", "versions.number"],
        name="fk_canaries_prefix_id_versions",
    ),
)

# The history has no foreign key to versions, because it outlives deleted ones. `from_rules` is the
# rules that the alias had before it moved.
alias_moves = Table(
    "alias_moves",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("prefix_id", ForeignKey("prefixes.id"), nullable=False),
    Column("alias", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("from_version", Integer),
    Column("to_version", Integer, nullable=False),
    Column("moved_at", UtcDateTime, nullable=False),
    Column("moved_by", Text, nullable=False),
    Column("is_undone", Boolean, nullable=False, server_default=false()),
    Column("percent", Float),
    Column("reason", Text),
    Column("from_rules", Text),
    Index(None, "prefix_id", "alias"),
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

# `tenant` is the caller's, empty for callers without one. `task` is `owner/task`. Rows hold names
# and not foreign keys, because they outlive tasks.
usage_hours = Table(
    "usage_hours",
    metadata,
    Column("hour", UtcDateTime, primary_key=True),
    Column("tenant", String(64), primary_key=True),
    Column("task", String(129), primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("texts", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("device_seconds", Float, nullable=False),
    Column("training_cpu_seconds", Float, nullable=False),
    Index(None, "tenant", "hour"),
)

# `statistics` is the JSON of AnswerStatistics. `is_reported` says that an event told of its drift.
answer_hours = Table(
    "answer_hours",
    metadata,
    Column("hour", UtcDateTime, primary_key=True),
    Column("tenant", String(64), primary_key=True),
    Column("task", String(64), primary_key=True),
    Column("digest", String(64), primary_key=True),
    Column("statistics", Text, nullable=False),
    Column("is_reported", Boolean, nullable=False),
    Index(None, "tenant", "task", "digest", "hour"),
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
# at `next_attempt_at`, which lies behind the end of an attempt while one is made.
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
    Index(None, "state", "next_attempt_at"),
    Index(None, "webhook_id", "state", "id"),
)

# One row for each tenant that has ever opted in. `stored_bytes` is the sum of `num_bytes` of
# its recorded answers.
feedback_settings = Table(
    "feedback_settings",
    metadata,
    Column("tenant_id", ForeignKey("tenants.id"), primary_key=True),
    Column("is_enabled", Boolean, nullable=False),
    Column("retention_days", Float, nullable=False),
    Column("sample_percent", Float, nullable=False),
    Column("stored_bytes", BigInteger, nullable=False),
)

# Texts with the answers that tasks gave, and the right answers. `content` and `feedback` are JSON,
# encrypted with the key that the column after each of them names.
recorded_answers = Table(
    "recorded_answers",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("prefix_id", ForeignKey("prefixes.id"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("place", Integer, nullable=False),
    Column("answered_at", UtcDateTime, nullable=False, index=True),
    Column("content", LargeBinary, nullable=False),
    Column("content_key", String(16)),
    Column("num_bytes", Integer, nullable=False),
    Column("margin", Float),
    Column("other_version", Integer),  # a version that gave another answer in the shadow
    Column("feedback", LargeBinary),
    Column("feedback_key", String(16)),
    Column("feedback_at", UtcDateTime),
    Column("is_contradicted", Boolean, nullable=False, server_default=false()),
    Column("is_reviewed", Boolean, nullable=False, server_default=false()),
    Index(None, "tenant_id", "request_id", "place"),
    Index(None, "prefix_id", "margin"),
)

# Digests of deleted versions: their bytes may be removed. Unknown bytes never are.
deleted_blobs = Table(
    "deleted_blobs",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("deleted_at", UtcDateTime, nullable=False),
)

# One row: the id of the store that the database belongs to.
paired_store = Table("paired_store", metadata, Column("id", String(32), primary_key=True))

# A training's files lie in a folder of its id. `config`, `problem` and `result` are JSON.
trainings = Table(
    "trainings",
    metadata,
    Column("id", String(32), primary_key=True),  # increases with time and orders the queue
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False, index=True),
    Column("task", String(64), nullable=False),
    Column("alias", String(64), nullable=False),
    Column("margin", Float, nullable=False),
    Column("config", Text, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("is_cancelling", Boolean, nullable=False),
    Column("num_crashes", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("problem", Text),
    Column("result", Text),
)

# Outlives the rows of trainings, which their owner can replace by starting more. `hour` counts from
# the epoch.
training_cpu_time = Table(
    "training_cpu_time",
    metadata,
    Column("tenant_id", ForeignKey("tenants.id"), primary_key=True),
    Column("hour", Integer, primary_key=True, autoincrement=False),
    Column("seconds", Float, nullable=False),
)
