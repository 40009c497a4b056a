"""One module per step; Alembic orders them by `down_revision`."""
