"""AnswerCache: answers of the database, valid until `Database.write` changes anything in it.

Every request looks up the tenant of its key and the versions of its references. The cache answers
only while the database reports the same state as when the answers were read. A change by any
process therefore takes effect at once.
"""

import threading
from collections.abc import Callable, Collection, Hashable, Mapping
from typing import Final, Generic, TypeVar

from sqlalchemy import Connection

from prefixes.registry.database import Database

Question = TypeVar("Question", bound=Hashable)
Answer = TypeVar("Answer")

_MAX_ANSWERS: Final = 16_384
"""About 10 MB. If it would be exceeded, the cache is cleared."""


class AnswerCache(Generic[Question, Answer]):
    """Answers by question. Safe to use from many threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._state: int | None = None
        self._answers: dict[Question, Answer] = {}

    def recall(self, questions: Collection[Question]) -> dict[Question, Answer] | None:
        """Return all answers if they are cached and current; never wait for the database."""
        state = self._database.state()
        with self._lock:
            if state is None or state != self._state:
                return None
            found = {one: self._answers[one] for one in questions if one in self._answers}
        return found if len(found) == len(questions) else None

    def ask(
        self, read: Callable[[Connection], Mapping[Question, Answer]]
    ) -> Mapping[Question, Answer]:
        """Read answers from the database and cache them.

        Raises:
            StoreUnavailable: when the database cannot be read.
        """
        state = self._database.state()
        with self._database.read() as connection:
            answers = read(connection)
        # If something changed meanwhile, it is unknown which state the answers belong to.
        if state is not None and state == self._database.state():
            self._store(state, answers)
        return answers

    def _store(self, state: int, answers: Mapping[Question, Answer]) -> None:
        with self._lock:
            if state != self._state or len(self._answers) + len(answers) > _MAX_ANSWERS:
                self._answers.clear()
            self._state = state
            self._answers.update(answers)
