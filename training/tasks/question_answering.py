"""Question answering: the slice of a context that answers a question, or no answer."""

from collections.abc import Container, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from prefixes import AnswerSpec, InputTemplate, PrefixSpec
from prefixes.answers import find_answers
from prefixes.backbone import EncodedInput, EncodedText
from prefixes.characters import is_blank
from prefixes.encoded import Span
from prefixes.template import template_fields
from training.errors import at
from training.examples import Examples, Input, Layout, TaskData
from training.files.rows import Row, RowFile
from training.settings.config import TrainConfig
from training.tasks.answer_scores import score_answers
from training.tasks.definition import Outputs, Piece, Problems, TaskDefinition
from training.tasks.losses import PLAIN, LossSettings, answer_losses
from training.tasks.metrics import Measurement
from training.tasks.phrases import from_columns
from training.tasks.unaligned_spans import UnalignedSpan, unaligned_span

QUESTION: Final = InputTemplate(text="{question}", text_pair="{context}")

_IMPOSSIBLE: Final = "is_impossible"
_NULL_THRESHOLD: Final = 0.0
_NOWHERE: Final = (0, 0)
"""The target of a window without the answer: its first token."""


@dataclass(frozen=True, slots=True)
class AcceptedAnswer:
    """An accepted answer: `text`, which begins at character `start` of the context."""

    text: str
    start: int


Answers = tuple[AcceptedAnswer, ...]


class QuestionAnswering(TaskDefinition[Answers]):
    """Questions with a `context`, and `answers` in the form of SQuAD: texts with their positions.

    A long context is split into windows, and each is a training example of its own.
    """

    points_into_text = True
    span_noun = "answers"
    answer_unit = "token"
    alignment_remedy = (
        "only whole tokens are found, so these never match exactly. Correct text and answer_start"
    )

    def template(self, config: TrainConfig, present: Container[str]) -> InputTemplate:
        return QUESTION

    def read_truth(self, layout: Layout, row: Row, fields: Input, problems: Problems) -> Answers:
        """Read the accepted answers and check them against the context. There may be no answer.

        A question marked as impossible has none. If it lists answers, `row_warnings` reports that.
        """
        if _is_impossible(row):
            return ()
        column = layout.label or "answers"
        pairs = _pairs(row.columns.get(column))
        if pairs is None:
            problems.append(
                row.problem(
                    f"{column!r}: expected text and answer_start, lists of one length, or a list "
                    f"of objects with both, found {row.columns.get(column)!r:.120}"
                )
            )
            return ()
        (field,) = template_fields(layout.template.text_pair or "")
        context = str(fields.get(field, ""))
        wrong = [pair for pair in pairs if context and not _is_slice(context, *pair)]
        if wrong:
            text, start = wrong[0]
            problems.append(
                row.problem(
                    f"{column!r}: expected characters of the context, but {text!r:.80} does not "
                    f"stand at {start!r:.20}"
                )
            )
            return ()
        return tuple(AcceptedAnswer(text, start) for text, start in pairs)

    def column_roles(self, layout: Layout, file: RowFile, truths: Sequence[Answers]) -> list[str]:
        lacking = f"{sum(not truth for truth in truths):,} of {len(truths):,} questions have none"
        return [
            *(f"{field} {from_columns([column])}" for field, column in layout.columns.items()),
            f"answers {from_columns([layout.label or 'answers'])} ({lacking})",
        ]

    def row_warnings(self, layout: Layout, rows: Sequence[Row]) -> list[str]:
        """Warn about rows whose `is_impossible` contradicts their answers."""
        column = layout.label or "answers"
        marked = [row for row in rows if _IMPOSSIBLE in row.columns]
        found = {"an answer": list[int](), "no answer": list[int]()}
        for row in marked:
            has_answer = bool(_pairs(row.columns.get(column)))
            if has_answer == _is_impossible(row):
                found["an answer" if has_answer else "no answer"].append(row.line)
        return [
            f"{len(lines)} row(s) have {what} although {_IMPOSSIBLE} says "
            f"{str(what == 'an answer').lower()}, {at(marked[0].file, lines)}: they are trained as "
            "questions without an answer"
            for what, lines in found.items()
            if lines
        ]

    def objection(self, truths: Sequence[Answers]) -> str | None:
        """Reject rows in which no question has an answer."""
        return None if any(truths) else "no question has an answer: expected at least one"

    def stratum(self, truth: Answers) -> tuple[Any, ...]:
        return (bool(truth),)

    def group(self, fields: Input) -> Hashable:
        """Return the context: all questions about it stay on one side of a split."""
        return fields["context"]

    def contradicts(self, one: Answers, other: Answers) -> bool:
        """Two lists of accepted answers agree if they share an answer or are both empty."""
        texts = [{answer.text for answer in answers} for answers in (one, other)]
        return texts[0].isdisjoint(texts[1]) and texts[0] != texts[1]

    def description(self, config: TrainConfig, data: TaskData) -> dict[str, Any]:
        """Return the answer settings.

        Questions may have no answer if a threshold is set, or if any question of the data has none.
        """
        may_lack = any(not truth for part in data.parts.values() for truth in part.truths)
        given = config.null_threshold
        assert config.stride is not None
        assert config.max_answer_tokens is not None
        return {
            "answers": AnswerSpec(
                stride=config.stride,
                max_answer_tokens=config.max_answer_tokens,
                null_threshold=_NULL_THRESHOLD if may_lack and given is None else given,
            )
        }

    def pieces(self, spec: PrefixSpec, truth: Answers, encoded: EncodedInput) -> list[Piece]:
        return [
            Piece((window,), torch.tensor(answer_place(truth[0], window) if truth else _NOWHERE))
            for window in encoded
        ]

    def num_spans(self, truth: Answers) -> int:
        return min(len(truth), 1)

    def unaligned_spans(self, truth: Answers, encoded: EncodedInput) -> list[UnalignedSpan]:
        """Return the first answer if no accepted answer begins and ends with tokens."""
        found = [_unaligned(one, encoded) for one in truth]
        return [found[0]] if found and found[0] is not None and None not in found else []

    def loss(
        self,
        spec: PrefixSpec,
        outputs: Sequence[Sequence[Tensor]],
        targets: Sequence[Tensor],
        settings: LossSettings = PLAIN,
    ) -> Tensor:
        """Sum the losses of windows."""
        logits = [values for (values,) in outputs]
        return answer_losses(logits, torch.stack(list(targets)).to(logits[0].device)).sum()

    def measure(
        self,
        spec: PrefixSpec,
        examples: Examples[Answers],
        encoded: Sequence[EncodedInput],
        outputs: Sequence[Outputs],
    ) -> Measurement:
        """Compare the best answer to each question with the accepted answers."""
        found = [
            str(self.answer(spec, fields, windows, logits)["answer"])
            for fields, windows, logits in zip(examples.inputs, encoded, outputs, strict=True)
        ]
        return score_answers(found, [[one.text for one in truth] for truth in examples.truths])

    def answer(
        self, spec: PrefixSpec, fields: Input, encoded: EncodedInput, outputs: Outputs
    ) -> dict[str, Any]:
        """Return `answer`, `score`, `start` and `end`. No answer is an empty text."""
        assert spec.sliced_field is not None
        context = str(fields[spec.sliced_field])
        (best,) = find_answers(spec, context, encoded, outputs)
        return {"answer": best.text, "score": best.score, "start": best.start, "end": best.end}


def answer_place(answer: AcceptedAnswer, window: EncodedText) -> tuple[int, int]:
    """Return the first and the last token of an answer in a window.

    If the window does not contain the whole answer, both are the first token of the window, as in
    P-tuning v2.
    """
    start, end = _visible(answer)
    spans = [(token, span) for token, span in enumerate(window.spans) if span is not None]
    inside = [token for token, (first, last) in spans if first < end and last > start]
    is_whole = bool(inside) and spans[0][1][0] <= start and end <= spans[-1][1][1]
    return (inside[0], inside[-1]) if is_whole else _NOWHERE


def _unaligned(answer: AcceptedAnswer, windows: EncodedInput) -> UnalignedSpan | None:
    """Compare an answer with the tokens of the window that contains it."""
    start, end = _visible(answer)
    for window in windows:
        spans = [span for span in window.spans if span is not None]
        if spans and spans[0][0] <= start and end <= spans[-1][1]:
            return unaligned_span((start, end), spans, is_truncated=window.is_truncated)
    return None


def _visible(answer: AcceptedAnswer) -> Span:
    """Return the span of an answer without surrounding white space, which no token contains."""
    start = answer.start + len(answer.text) - len(answer.text.lstrip())
    return start, start + len(answer.text.strip())


def _is_impossible(row: Row) -> bool:
    return str(row.columns.get(_IMPOSSIBLE)).strip().lower() in {"true", "1", "1.0", "yes"}


def _pairs(answers: Any) -> list[tuple[Any, Any]] | None:
    """Return texts with their positions; None if this is neither of the two forms of SQuAD."""
    match answers:
        case {"text": list(texts), "answer_start": list(starts)} if len(texts) == len(starts):
            return list(zip(texts, starts, strict=True))
        case list() if all(isinstance(one, dict) for one in answers):
            return [(one.get("text"), one.get("answer_start")) for one in answers]
        case _:
            return None


def _is_slice(context: str, text: Any, start: Any) -> bool:
    if not isinstance(text, str) or is_blank(text) or type(start) is not int or start < 0:
        return False
    return context[start : start + len(text)] == text
