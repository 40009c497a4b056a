"""JobReporter: writes events, warnings and the data summary of a job; stops the training."""

import json
import math
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from prefixes.atomic import write_atomically
from training.errors import TrainingStopped
from training.service.protocol.events import Evaluation, Event, Progress
from training.service.protocol.worker import DATA_SUMMARY, EVENTS, WARNINGS

if TYPE_CHECKING:  # they import torch
    from training.learning.base_run import BaseRun
    from training.learning.base_run import Evaluation as MeasuredEvaluation

_SECONDS_BETWEEN_EVENTS: Final = 1.0
_MAX_CHARACTERS: Final = 1000


class JobReporter:
    """Reports every evaluation, and the current step once a second, into a job's folder."""

    def __init__(self, folder: Path) -> None:
        self._events = folder / EVENTS
        self._summary = folder / DATA_SUMMARY
        self._warnings = folder / WARNINGS
        self._stop = threading.Event()
        self._run: BaseRun | None = None
        self._num_evaluations: int | None = None
        self._last = -math.inf
        # Read once, because `report_progress` reports the warnings at every step.
        self._known_warnings = _read_sentences(self._warnings)

    def stop(self) -> None:
        """Stop the training at its next step."""
        self._stop.set()

    def report_data_summary(self, summary: Sequence[str]) -> None:
        """Write how the rows were read, unless an earlier worker has done so."""
        if not self._summary.exists():
            sentences = [_shortened(sentence) for sentence in summary]
            _write_json(self._summary, sentences)
            self._write(Event.of_sentences("data_summary", sentences))

    def report_warnings(self, warnings: Sequence[str]) -> None:
        """Write the warnings about the rows, unless an earlier worker has written all of them."""
        sentences = [_shortened(warning) for warning in warnings]
        if set(sentences) > self._known_warnings:
            _write_json(self._warnings, sentences)
            self._known_warnings = frozenset(sentences)
            self._write(Event.of_sentences("warnings", sentences))

    def report_progress(self, runs: "Sequence[BaseRun]") -> None:
        """Write the progress of the single run, or of its teacher.

        Raises:
            TrainingStopped: once `stop` was called.
        """
        (run,) = runs
        self.report_warnings(run.warnings)
        if run is not self._run:
            self._run, self._num_evaluations = run, None
        is_evaluated = self._num_evaluations not in {None, len(run.history)}
        self._num_evaluations = len(run.history)
        if is_evaluated or self._is_due:
            self._last = time.monotonic()
            progress = _progress(run)
            self._write(Event.of_progress(progress, is_evaluated=is_evaluated))
        self._check_stop()

    def report_answers(self, done: int, total: int) -> None:
        """Write how many rows the teacher has answered.

        Raises:
            TrainingStopped: once `stop` was called.
        """
        if self._is_due:
            self._last = time.monotonic()
            progress = Progress(
                phase="answers",
                step=done,
                total_steps=total,
                loss=None,
                metric="",
                latest=None,
                best=None,
            )
            self._write(Event.of_progress(progress, is_evaluated=False))
        self._check_stop()

    @property
    def _is_due(self) -> bool:
        return time.monotonic() - self._last >= _SECONDS_BETWEEN_EVENTS

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise TrainingStopped("The training was stopped; it resumes from its checkpoint.")

    def _write(self, event: Event) -> None:
        # A full disk loses an event. That does not end the training.
        with suppress(OSError), self._events.open("ab") as file:
            file.write(event.lines())


def _progress(run: "BaseRun") -> Progress:
    metric = run.config.metric
    return Progress(
        phase="teacher" if run.is_teacher else "prefix",
        step=run.step,
        total_steps=run.total_steps,
        loss=run.losses[-1] if run.losses else None,
        metric=metric,
        latest=_evaluation(run.history[-1]) if run.history else None,
        best=None if run.best is None else _evaluation(run.best),
        teacher=None if run.teacher is None else run.teacher.validation[metric],
    )


def _evaluation(measured: "MeasuredEvaluation") -> Evaluation:
    return Evaluation(
        step=measured.step,
        epoch=measured.epoch,
        train_loss=measured.train_loss,
        loss=measured.loss,
        metrics=dict(measured.metrics),
    )


def _shortened(sentence: str) -> str:
    """Cut a sentence that quotes long labels: readers of events bound the length of a line."""
    is_short = len(sentence) <= _MAX_CHARACTERS
    return sentence if is_short else f"{sentence[:_MAX_CHARACTERS]} ..."


def _read_sentences(path: Path) -> frozenset[str]:
    return frozenset(json.loads(path.read_bytes()) if path.exists() else [])


def _write_json(path: Path, value: Any) -> None:
    write_atomically(path, json.dumps(value, allow_nan=False))
