"""Tenants and their keys, tasks, versions, aliases and the history of aliases."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "tenants",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("is_public", sa.Boolean, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tenants"),
        sa.UniqueConstraint("name", name="uq_tenants_name"),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("tenant_id", sa.Integer, nullable=False),
        sa.Column("secret_sha256", sa.String(64), nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("revoked_at", moment),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_api_keys_tenant_id"),
    )
    op.create_index("ix_api_keys_tenant_id", "api_keys", ["tenant_id"])
    op.create_table(
        "prefixes",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("tenant_id", sa.Integer, nullable=False),
        sa.Column("task", sa.String(64), nullable=False),
        sa.Column("next_version", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_prefixes"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_prefixes_tenant_id"),
        sa.UniqueConstraint("tenant_id", "task", name="uq_prefixes_tenant_id_task"),
    )
    _create_versions(moment)
    _create_aliases(moment)


def _create_versions(moment: sa.DateTime) -> None:
    op.create_table(
        "versions",
        sa.Column("prefix_id", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("size_bytes", sa.Integer, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("spec", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("prefix_id", "number", name="pk_versions"),
        sa.ForeignKeyConstraint(["prefix_id"], ["prefixes.id"], name="fk_versions_prefix_id"),
        sa.UniqueConstraint("prefix_id", "digest", name="uq_versions_prefix_id_digest"),
    )
    op.create_index("ix_versions_digest", "versions", ["digest"])


def _create_aliases(moment: sa.DateTime) -> None:
    op.create_table(
        "aliases",
        sa.Column("prefix_id", sa.Integer, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("prefix_id", "name", name="pk_aliases"),
        sa.ForeignKeyConstraint(
            ["prefix_id", "version"],
            ["versions.prefix_id", "versions.number"],
            name="fk_aliases_prefix_id_version",
        ),
    )
    op.create_table(
        "alias_moves",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("prefix_id", sa.Integer, nullable=False),
        sa.Column("alias", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("from_version", sa.Integer),
        sa.Column("to_version", sa.Integer, nullable=False),
        sa.Column("moved_at", moment, nullable=False),
        sa.Column("moved_by", sa.Text, nullable=False),
        sa.Column("is_undone", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.PrimaryKeyConstraint("id", name="pk_alias_moves"),
        sa.ForeignKeyConstraint(["prefix_id"], ["prefixes.id"], name="fk_alias_moves_prefix_id"),
    )
    op.create_index("ix_alias_moves_prefix_id_alias", "alias_moves", ["prefix_id", "alias"])
