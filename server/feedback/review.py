"""Review: which inputs of a task a person should label next, and why."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Self

from prefixes.registry import AnswerStore
from prefixes.registry.recorded_answer_rows import RecordedAnswer
from server.errors import FeedbackUnreadable
from server.feedback.contents import Answer, AnswerContent, Fields
from server.feedback.duplicates import DuplicateIndex
from server.feedback.sealing import Sealer

Reason = Literal["contradicted", "disagreement", "low_margin"]

MAX_CANDIDATES: Final = 1000
"""Maximum number of inputs that are considered for each reason, and of labeled ones that they are
compared with. Further ones follow once these are labeled."""

_REASONS: Final[tuple[Reason, ...]] = ("contradicted", "disagreement", "low_margin")
_CURSOR: Final = re.compile(r"([012])_(-?\d[\d.e-]*)_(\d{1,18})", re.ASCII)
CURSOR_PATTERN: Final = rf"^{_CURSOR.pattern}$"


class Cursor(NamedTuple):
    """The place of an input in the list. It does not change when others leave the list."""

    rank: int
    value: float
    id: int

    @classmethod
    def of(cls, answer: RecordedAnswer) -> Self:
        """Place contradicted answers first, then disagreements, both the newest first."""
        if answer.is_contradicted:
            return cls(0, -answer.id, answer.id)
        if answer.other_version is not None:
            return cls(1, -answer.id, answer.id)
        return cls(2, answer.margin or 0.0, answer.id)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` wrote; the text matches `CURSOR_PATTERN`."""
        found = _CURSOR.fullmatch(text)
        assert found is not None, "the caller has checked the pattern"
        try:
            value = float(found[2])
        except ValueError:
            value = 0.0
        return cls(int(found[1]), value, int(found[3]))

    def __str__(self) -> str:
        return f"{self.rank}_{self.value!r}_{self.id}"


@dataclass(frozen=True, slots=True)
class ReviewedAnswer:
    """An input to label, with the reason, and the feedback that contradicts its answer."""

    recorded: RecordedAnswer
    content: AnswerContent
    reason: Reason
    feedback: Answer | None


@dataclass(frozen=True, slots=True)
class Review:
    """One page of inputs to label, and how many were left out before its end.

    `next` is None on the last page.
    """

    answers: Sequence[ReviewedAnswer]
    num_duplicates: int
    num_unreadable: int
    next: Cursor | None


def review(
    store: AnswerStore,
    sealer: Sealer,
    tenant: str,
    task: str,
    *,
    limit: int,
    after: Cursor | None = None,
) -> Review:
    """Return the inputs to label next, after a place in the list.

    Raises:
        PrefixNotFound: when the task does not exist.
        FeedbackUnreadable: when there are inputs, but none of them can be read.
    """
    return _Reviewer(store, sealer, tenant, task).page(limit, after)


class _Reviewer:
    def __init__(self, store: AnswerStore, sealer: Sealer, tenant: str, task: str) -> None:
        found = store.unlabeled(tenant, task, limit=MAX_CANDIDATES)
        self._candidates = sorted(found, key=Cursor.of)
        self._labeled = store.labeled(tenant, task, limit=MAX_CANDIDATES)
        self._sealer = sealer
        self._seen = DuplicateIndex()
        self._num_duplicates = 0
        self._num_unreadable = 0
        self._problem: FeedbackUnreadable | None = None

    def page(self, limit: int, after: Cursor | None) -> Review:
        answers: list[ReviewedAnswer] = []
        has_more = False
        for answer in self._distinct():
            if after is not None and Cursor.of(answer.recorded) <= after:
                continue
            if len(answers) == limit:
                has_more = True
                break
            answers.append(answer)
        if self._problem is not None and self._num_unreadable and not answers and after is None:
            raise self._problem
        return Review(
            answers,
            self._num_duplicates,
            self._num_unreadable,
            Cursor.of(answers[-1].recorded) if has_more else None,
        )

    def _distinct(self) -> Iterator[ReviewedAnswer]:
        """Give readable inputs that resemble neither earlier nor labeled ones."""
        is_seeded = False
        for recorded in self._candidates:
            rank = Cursor.of(recorded).rank
            if rank > 0 and not is_seeded:
                self._add_labeled()
                is_seeded = True
            content = self._content(recorded)
            if content is None:
                self._num_unreadable += 1
                continue
            if not self._seen.add(_text_of(content.fields)):
                self._num_duplicates += 1
                continue
            yield ReviewedAnswer(recorded, content, _REASONS[rank], self._feedback(recorded))

    def _add_labeled(self) -> None:
        for recorded in self._labeled:
            content = self._content(recorded)
            if content is not None:
                self._seen.add(_text_of(content.fields))

    def _content(self, recorded: RecordedAnswer) -> AnswerContent | None:
        try:
            return AnswerContent.parse(self._sealer.open(recorded.content))
        except FeedbackUnreadable as error:
            self._problem = error
            return None

    def _feedback(self, recorded: RecordedAnswer) -> Answer | None:
        if recorded.feedback is None:
            return None
        try:
            found: Answer = json.loads(self._sealer.open(recorded.feedback))
        except FeedbackUnreadable:
            return None
        return found


def _text_of(fields: Fields) -> str:
    values = (value if isinstance(value, str) else " ".join(value) for value in fields.values())
    return " ".join(values)
