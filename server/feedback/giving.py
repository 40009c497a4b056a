"""FeedbackWriter: stores right answers, after a check against the task."""

from dataclasses import dataclass

from prefixes import PrefixRef, PrefixSpec
from prefixes.errors import AnswerNotFound, PrefixNotFound
from prefixes.registry import AnswerStore, PrefixRegistry, PrefixVersion
from prefixes.registry.recorded_answer_rows import NewAnswer, RecordedAnswer
from prefixes.registry.tables import now
from server.errors import FeedbackRejected
from server.feedback.contents import Answer, AnswerContent, Fields, to_bytes
from server.feedback.right_answers import agrees, checked_answer
from server.feedback.sealing import Sealer


@dataclass(frozen=True, slots=True, eq=False)
class FeedbackWriter:
    """Stores right answers to recorded inputs, and to inputs that others annotated.

    Safe to use from many threads. Methods raise FeedbackRejected when a right answer does not fit
    the task or the input, FeedbackUnreadable when recorded texts cannot be read, QuotaExceeded when
    the tenant has no room, and PrefixNotFound when the task was deleted meanwhile.
    """

    registry: PrefixRegistry
    answers: AnswerStore
    sealer: Sealer

    def give(self, recorded: RecordedAnswer, given: Answer, *, is_review: bool) -> bool:
        """Store a right answer, and return whether the recorded one contradicts it.

        Raises:
            AnswerNotFound: when the recorded answer was removed meanwhile.
        """
        content = self._content(recorded)
        right = checked_answer(self._spec(recorded), content.fields, given)
        # A text that was only annotated has no answer.
        is_contradicted = bool(content.answer) and not agrees(content.answer, right)
        self.answers.give(
            recorded,
            self.sealer.seal(to_bytes(right)),
            is_contradicted=is_contradicted,
            is_review=is_review,
        )
        return is_contradicted

    def annotate(
        self, version: PrefixVersion, fields: Fields, right: Answer, *, request_id: str
    ) -> None:
        """Store a reviewer's right answer to a text that the server may not have answered.

        It replaces an earlier one for the same text with the same id. FeedbackRejected is also
        raised when the tenant does not record answers.
        """
        checked_answer(self.registry.spec(version.digest), fields, right)
        recorded = self._find(version, request_id)
        if recorded is None or self._content(recorded).fields != fields:
            recorded = self._add(version, fields, request_id)
        self.give(recorded, right, is_review=True)

    def _find(self, version: PrefixVersion, request_id: str) -> RecordedAnswer | None:
        try:
            found = self.answers.find(version.tenant, request_id, 0)
        except AnswerNotFound:
            return None
        return found if found.task == version.task else None

    def _add(self, version: PrefixVersion, fields: Fields, request_id: str) -> RecordedAnswer:
        """Record a text without an answer."""
        content = self.sealer.seal(AnswerContent(fields, {}).to_bytes())
        tenant, task = version.tenant, version.task
        new = NewAnswer(tenant, task, version.number, request_id, 0, now(), content, None)
        if self.answers.add([new]) == 0:
            raise FeedbackRejected(
                f"The tenant {tenant} does not record answers, or has no room for more. Enable it "
                f"with PUT /v1/tenants/{tenant}/feedback, or delete answers."
            )
        return self.answers.find(tenant, request_id, 0)

    def _content(self, recorded: RecordedAnswer) -> AnswerContent:
        return AnswerContent.parse(self.sealer.open(recorded.content))

    def _spec(self, recorded: RecordedAnswer) -> PrefixSpec:
        """Read the description of the version that answered; of the live one if it is deleted."""
        tenant, task = recorded.tenant, recorded.task
        try:
            ref = PrefixRef(tenant, task, version=recorded.version)
            return self.registry.spec(self.registry.version(ref, reader=tenant).digest)
        except PrefixNotFound:
            live = PrefixRef(tenant, task, alias="live")
            return self.registry.spec(self.registry.version(live, reader=tenant).digest)
