"""The store of recorded answers, with the operator's limits."""

from prefixes.registry import AnswerStore, Database
from server.settings import Settings


def answer_store(settings: Settings, database: Database) -> AnswerStore:
    """Build a store with the operator's limits."""
    return AnswerStore(
        database,
        max_bytes=settings.max_feedback_mib_per_tenant * 2**20,
        default_limits=settings.default_limits,
    )
