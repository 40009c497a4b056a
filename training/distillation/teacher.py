"""Teacher: answers the rows of a task, for a prefix that learns from it."""

from collections.abc import Callable
from typing import Any, Final, Protocol

import numpy as np

from prefixes import PrefixSpec
from training.data.lessons import Lessons, Logits, TeacherFacts
from training.examples import Examples, TaskData
from training.tasks import definition_of

Progress = Callable[[int, int], None]
"""Takes the number of rows that are answered, and that of all rows."""

_ROWS_AT_ONCE: Final = 256


class Teacher(Protocol):
    """A fine-tuned model. Its properties are those of `TeacherFacts`."""

    @property
    def name(self) -> str: ...

    @property
    def architecture(self) -> str: ...

    @property
    def sha256(self) -> str | None: ...

    def answer(self, examples: Examples[Any]) -> Logits:
        """Return the logits `[n, C]` of n rows, in the order of the task's labels."""


def give_lessons(teacher: Teacher, spec: PrefixSpec, data: TaskData, report: Progress) -> Lessons:
    """Let a teacher answer all rows, and measure it on the validation rows.

    `report` is called after every few rows. It may raise TrainingStopped.
    """
    parts = (data.validation, data.train, data.unlabeled or Examples((), ()))
    total = sum(map(len, parts))
    done = 0
    answers = []
    for part in parts:
        found = [np.empty((0, spec.num_labels), np.float32)]
        for start in range(0, len(part), _ROWS_AT_ONCE):
            report(done, total)
            some = part.take(range(start, min(start + _ROWS_AT_ONCE, len(part))))
            found.append(teacher.answer(some))
            done += len(some)
        answers.append(np.concatenate(found).astype(np.float32))
    report(done, total)
    validation, labeled, unlabeled = answers
    facts = TeacherFacts(
        name=teacher.name,
        architecture=teacher.architecture,
        sha256=teacher.sha256,
        validation=_metrics(spec, data.validation, validation),
        num_unlabeled_rows=len(unlabeled),
    )
    return Lessons(facts, labeled, unlabeled)


def _metrics(spec: PrefixSpec, rows: Examples[Any], logits: Logits) -> dict[str, float]:
    outputs = [[row] for row in logits]
    return definition_of(spec.task_type).measure(spec, rows, (), outputs).metrics
