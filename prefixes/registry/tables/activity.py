"""The tables of what tasks do: usage, answers, feedback, trainings and batch files."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    false,
)

from prefixes.registry.tables.schema import UtcDateTime, metadata

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

# As `usage_hours`, for each key.
key_usage_hours = Table(
    "key_usage_hours",
    metadata,
    Column("hour", UtcDateTime, primary_key=True),
    Column("tenant", String(64), primary_key=True),
    Column("key_id", String(16), primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("texts", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("device_seconds", Float, nullable=False),
    Column("training_cpu_seconds", Float, nullable=False, server_default="0"),
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

# One row for each server that holds jobs. `host` is the name of its machine.
server_leases = Table(
    "server_leases",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("host", Text, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
)

# A training's files lie in a folder of its id. `config`, `problem` and `result` are JSON. `holder`
# is the lease of the server that runs it. `is_taken_over` says that the lease of an earlier holder
# expired, whose processes may still write to the folder.
# `key_id` is the key that started the training.
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
    Column("holder", String(32)),
    Column("is_taken_over", Boolean, nullable=False, server_default=false()),
    Column("key_id", String(16)),
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

# The rows and the results lie in a folder of the batch file's id. The columns from `num_rows` to
# `result_bytes` are its checkpoint: everything after these offsets is written again. `holder` and
# `is_taken_over` are as for trainings.
batch_files = Table(
    "batch_files",
    metadata,
    Column("id", String(32), primary_key=True),  # increases with time and orders the queue
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False, index=True),
    Column("key_id", String(16)),
    Column("model", Text),
    Column("options", Text, nullable=False),
    Column("file_format", String(16), nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("is_cancelling", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("paused_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("num_rows", BigInteger),
    Column("num_done", BigInteger, nullable=False),
    Column("num_failed", BigInteger, nullable=False),
    Column("row_offset", BigInteger, nullable=False),
    Column("result_bytes", BigInteger, nullable=False),
    Column("stored_bytes", BigInteger, nullable=False),
    Column("problem", Text),
    Column("holder", String(32)),
    Column("is_taken_over", Boolean, nullable=False, server_default=false()),
)
