"""KeyUses: when each key was last used, written to the database in batches."""

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import bindparam, or_, update

from prefixes.registry.database import Database
from prefixes.registry.tables import api_keys

SECONDS_BETWEEN_WRITES: Final = 60.0
"""Other changes wait while the uses are written."""

_SET: Final = (
    update(api_keys)
    .where(
        api_keys.c.id == bindparam("key"),
        # Front ends write separately: a later use must not be replaced with an earlier one.
        or_(api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at < bindparam("used")),
    )
    .values(last_used_at=bindparam("used"))
)


class KeyUses:
    """The last use of each key since the last write. Safe to use from many threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._last: dict[str, float] = {}

    def note(self, key_id: str, moment: float) -> None:
        """Note the use of a key, in seconds since the epoch. This only sets an item of a dict."""
        self._last[key_id] = moment

    def write(self) -> None:
        """Write the uses since the last write. If that fails, the next write includes them.

        Raises:
            StoreUnavailable: when the database cannot be written.
        """
        used, self._last = self._last, {}
        if not used:
            return
        rows = [
            {"key": key_id, "used": datetime.fromtimestamp(moment, UTC)}
            for key_id, moment in tuple(used.items())  # `note` may still add to it
        ]
        try:
            with self._database.write_activity() as connection:
                connection.execute(_SET, rows)
        except BaseException:
            self._last = used | self._last
            raise
