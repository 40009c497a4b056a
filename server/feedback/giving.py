"""FeedbackWriter: stores right answers, after a check against the task."""

from dataclasses import dataclass

from prefixes import PrefixRef, PrefixSpec
from prefixes.errors import PrefixNotFound
from prefixes.registry import AnswerStore, PrefixRegistry
from prefixes.registry.answer_rows import RecordedAnswer
from server.feedback.contents import Answer, AnswerContent, to_bytes
from server.feedback.right_answers import agrees, checked_answer
from server.feedback.sealing import Sealer


@dataclass(frozen=True, slots=True, eq=False)
class FeedbackWriter:
    """Stores right answers to recorded inputs.

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
        is_contradicted = not agrees(content.answer, right)
        self.answers.give(
            recorded,
            self.sealer.seal(to_bytes(right)),
            is_contradicted=is_contradicted,
            is_review=is_review,
        )
        return is_contradicted

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
