"""Remembered: answers of the database, for as long as nothing in it changes.

Every request asks whose its key is and what its references stand for. The answers come from here
when the database says that it is in the very state in which they were read: no caller is answered
by an old state, whoever changed it, from whichever process.
"""

import threading
from collections.abc import Callable, Collection, Hashable, Mapping
from typing import Final, Generic, TypeVar

from sqlalchemy import Connection

from prefixes.registry.database import Database

Question = TypeVar("Question", bound=Hashable)
Answer = TypeVar("Answer")

_MOST: Final = 16_384
"""Answers that are kept: some 10 MB. With more, all are forgotten, and asked for again."""


class Remembered(Generic[Question, Answer]):
    """Answers by their questions. Safe to use from many threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._state: int | None = None
        self._answers: dict[Question, Answer] = {}

    def recall(self, questions: Collection[Question]) -> dict[Question, Answer] | None:
        """Give all answers if they are known and still true; never waits for the database."""
        state = self._database.state()
        with self._lock:
            if state is None or state != self._state:
                return None
            found = {one: self._answers[one] for one in questions if one in self._answers}
        return found if len(found) == len(questions) else None

    def ask(
        self, read: Callable[[Connection], Mapping[Question, Answer]]
    ) -> Mapping[Question, Answer]:
        """Read answers from the database, and remember them.

        Raises:
            StoreUnavailable: when the database cannot be read.
        """
        state = self._database.state()
        with self._database.read() as connection:
            answers = read(connection)
        # Unless something changed meanwhile: then nobody knows which state was read.
        if state is not None and state == self._database.state():
            self._remember(state, answers)
        return answers

    def _remember(self, state: int, answers: Mapping[Question, Answer]) -> None:
        with self._lock:
            if state != self._state or len(self._answers) + len(answers) > _MOST:
                self._answers.clear()
            self._state = state
            self._answers.update(answers)
