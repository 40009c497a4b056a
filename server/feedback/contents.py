"""The stored texts: what an input and its answer were, and what the right answer is."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

Answer = Mapping[str, Any]
"""The answer to an input, as JSON values, with one member by the type of the task: `label`,
`labels`, `value`, `entities`, `answer` or `choice`."""

Fields = Mapping[str, str | Sequence[str]]
"""The texts of an input by field name. `choices` is a list of texts."""


@dataclass(frozen=True, slots=True)
class AnswerContent:
    """An input with the answer of a task, and its best labels with their scores."""

    fields: Fields
    answer: Answer
    scores: Sequence[tuple[str, float]] = ()

    def to_bytes(self) -> bytes:
        return to_bytes(asdict(self))

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote."""
        found = json.loads(data)
        scores = [(label, score) for label, score in found["scores"]]
        return cls(found["fields"], found["answer"], scores)


def to_bytes(value: Mapping[str, Any]) -> bytes:
    """Write JSON values as UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
