"""Alembic's entry point: run the migrations on the connection that `opening.py` passes."""

from alembic import context

from prefixes.registry.tables import metadata

# The caller's transaction includes all steps: the upgrade happens as a whole or not at all.
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
context.run_migrations()
