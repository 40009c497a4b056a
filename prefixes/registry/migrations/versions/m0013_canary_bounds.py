"""Shadow shares and bounds of canaries."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    shadow = sa.Column("shadow_percent", sa.Float, nullable=False, server_default="0")
    op.add_column("canaries", shadow)
    op.add_column("canaries", sa.Column("max_error_percent", sa.Float))
    op.add_column("canaries", sa.Column("max_disagreement_percent", sa.Float))
    samples = sa.Column("min_samples", sa.Integer, nullable=False, server_default="100")
    op.add_column("canaries", samples)
