"""Alembic's entry point: run the steps on the connection that `database.py` hands over."""

from alembic import context

from prefixes.registry.tables import metadata

# The caller's transaction holds all steps: either the whole upgrade happens or nothing.
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
context.run_migrations()
