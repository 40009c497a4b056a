"""The tables of prefixes: versions, aliases and their history, and stored bytes."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

from prefixes.registry.tables.schema import UtcDateTime, metadata

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
# have counted about it, which no `QueryCache` contains.
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

# Digests of deleted versions: their bytes may be removed. Unknown bytes never are.
deleted_blobs = Table(
    "deleted_blobs",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("deleted_at", UtcDateTime, nullable=False),
)

# One row: the id of the store that the database belongs to.
paired_store = Table("paired_store", metadata, Column("id", String(32), primary_key=True))

# One row: the number of the last change, which PostgreSQL has no other place for. SQLite counts
# changes in the header of its file, and does not use this table.
registry_state = Table(
    "registry_state",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("change_number", BigInteger, nullable=False),
)
