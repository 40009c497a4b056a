"""The holder of jobs that a test claims without a server, and the end of all leases."""

from datetime import timedelta

from sqlalchemy import Connection, update

from prefixes.registry import Database
from prefixes.registry.server_leases import database_time
from prefixes.registry.tables import server_leases


def hold(_connection: Connection) -> str:
    """Hold a job with the lease `test`, which never ends."""
    return "test"


def expire_leases(database: Database) -> None:
    """Let the time of all leases pass, in the database alone."""
    with database.write() as connection:
        expires_at = database_time(connection) - timedelta(seconds=1)
        connection.execute(update(server_leases).values(expires_at=expires_at))
