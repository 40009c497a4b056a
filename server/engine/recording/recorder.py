"""AnswerRecorder: the answers that were given since the last write to the database."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from prefixes.registry.recorded_answer_rows import Disagreement
from prefixes.template import TokenIds
from server.engine.values import InferenceResult, Recording

MAX_ANSWERS: Final = 1000
"""Maximum number of answers of one tenant between two writes."""
MAX_CHARACTERS: Final = 4 * 2**20
"""Maximum number of characters of one tenant's texts between two writes."""
_MAX_TENANTS: Final = 16
"""Number of tenants whose answers may all reach the maximum. Together, tenants get no more."""


@dataclass(frozen=True, slots=True, eq=False)
class GivenAnswer:
    """An answer, and the request and place that it was given for."""

    recording: Recording
    place: int
    given_at: datetime
    result: InferenceResult


class AnswerRecorder:
    """Collects answers. Belongs to the engine's event loop."""

    def __init__(self) -> None:
        self._answers: list[GivenAnswer] = []
        self._disagreements: list[Disagreement] = []
        self._numbers: Counter[str] = Counter()
        self._characters: Counter[str] = Counter()
        self._num_dropped = 0
        self.write: Callable[[], Awaitable[None]] | None = None

    async def flush(self) -> None:
        """Write what was collected now, if anything is written at all."""
        if self.write is not None and (self._answers or self._disagreements):
            await self.write()

    def add(self, recording: Recording, results: Sequence[InferenceResult]) -> None:
        """Collect the answers of a request to tasks of the caller's own tenant."""
        given_at = datetime.now(UTC)
        for index, result in enumerate(results):
            if _is_recordable(recording, result):
                # An explanation may take hundreds of times the memory of the answer.
                kept = replace(result, occluded=()) if result.occluded else result
                self._add(GivenAnswer(recording, recording.place_of(index), given_at, kept))

    def disagreed(self, recording: Recording, index: int, other_version: int) -> None:
        """Note that another version gives another answer to one of the inputs."""
        if len(self._disagreements) < MAX_ANSWERS * _MAX_TENANTS:
            self._disagreements.append(
                Disagreement(
                    recording.tenant,
                    recording.request_id,
                    recording.place_of(index),
                    other_version,
                )
            )

    def take(self) -> tuple[list[GivenAnswer], list[Disagreement], int]:
        """Return everything, and the number of answers that were dropped; start over with none."""
        taken = self._answers, self._disagreements, self._num_dropped
        self._answers, self._disagreements, self._num_dropped = [], [], 0
        self._numbers.clear()
        self._characters.clear()
        return taken

    def put_back(
        self, answers: Sequence[GivenAnswer], disagreements: Sequence[Disagreement]
    ) -> None:
        """Collect what was taken, but could not be written."""
        for answer in answers:
            self._add(answer)
        self._disagreements = [*disagreements, *self._disagreements][: MAX_ANSWERS * _MAX_TENANTS]

    def _add(self, answer: GivenAnswer) -> None:
        tenant, size = answer.recording.tenant, _num_characters(answer.result)
        has_room = (
            self._numbers[tenant] < MAX_ANSWERS
            and self._characters[tenant] + size <= MAX_CHARACTERS
            and len(self._answers) < MAX_ANSWERS * _MAX_TENANTS
            and self._characters.total() + size <= MAX_CHARACTERS * _MAX_TENANTS
        )
        if not has_room:
            self._num_dropped += 1
            return
        self._answers.append(answer)
        self._numbers[tenant] += 1
        self._characters[tenant] += size


def _is_recordable(recording: Recording, result: InferenceResult) -> bool:
    """Leave out tasks of others, vectors, and inputs without a text."""
    return (
        result.version.tenant == recording.tenant
        and result.spec.task_type != "embedding"
        and not isinstance(result.fields, TokenIds)
    )


def _num_characters(result: InferenceResult) -> int:
    assert not isinstance(result.fields, TokenIds), "never recorded"
    values = result.fields if isinstance(result.fields, tuple) else result.fields.values()
    return sum(len(value) if isinstance(value, str) else sum(map(len, value)) for value in values)
