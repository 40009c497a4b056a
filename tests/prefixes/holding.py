"""The holder of jobs that a test claims without a server."""

from sqlalchemy import Connection


def hold(_connection: Connection) -> str:
    """Hold a job with the lease `test`, which never ends."""
    return "test"
