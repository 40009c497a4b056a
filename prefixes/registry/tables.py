"""The registry's tables, as SQLAlchemy Core knows them; `migrations/` brings a database here."""

from datetime import UTC, datetime

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
)

# Named constraints can be changed by a later migration; SQLite gives none of its own.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC; SQLite keeps no time zone, so it is taken off and put back here."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


def now() -> datetime:
    """The moment that a row written now is stamped with."""
    return datetime.now(UTC)


tenants = Table(
    "tenants",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("is_public", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False, index=True),
    Column("secret_sha256", String(64), nullable=False),
    Column("label", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime),
)

# A row stays when the last version is deleted: its counter is why a number never comes back.
prefixes = Table(
    "prefixes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("task", String(64), nullable=False),
    Column("next_version", Integer, nullable=False),
    UniqueConstraint("tenant_id", "task"),
)

# `spec` is long and stands late, so that reading the columns before it, as every request does,
# does not page through it. Lists of versions read `task_type` too, which came later.
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

aliases = Table(
    "aliases",
    metadata,
    Column("prefix_id", Integer, primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("version", Integer, nullable=False),
    # The database itself refuses to delete a version that an alias points to.
    ForeignKeyConstraint(["prefix_id", "version"], ["versions.prefix_id", "versions.number"]),
)

# History names versions by number, without a foreign key: it outlives a deleted version.
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
    Index(None, "prefix_id", "alias"),
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
    Column("id", String(32), primary_key=True),  # rises with time: ordered by it, they queue
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
