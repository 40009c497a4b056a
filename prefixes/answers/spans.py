"""Extractive question answering: from the logits of windows to slices of the context.

The rules are those of the standard SQuAD evaluation, which P-tuning v2 used.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from prefixes.answers.labels import softmax
from prefixes.encoded import EncodedText, Span
from prefixes.spec import AnswerSpec, PrefixSpec

NUM_BEST: Final = 20
"""Maximum number of starts and ends considered per window, and of answers kept per context."""


@dataclass(frozen=True, slots=True)
class TextAnswer:
    """A slice of the context: `text` is exactly its characters `start` to `end`.

    "No answer" is the empty text from 0 to 0. `score` is the probability among the best answers.
    """

    text: str
    score: float
    start: int
    end: int


def find_answers(
    spec: PrefixSpec,
    context: str,
    windows: Sequence[EncodedText],
    logits: Sequence[NDArray[np.floating[Any]]],
    *,
    top_k: int = 1,
    max_answer_tokens: int | None = None,
) -> list[TextAnswer]:
    """Find the best answers in a context, best first: at least one, at most `NUM_BEST` + 1.

    If the task has a `null_threshold`, "no answer" is among them. It comes first if its score
    exceeds the best answer's by more than the threshold. A context without any possible answer
    gives "no answer" too; for a task without a `null_threshold`, its score is then 0.

    Args:
        spec: description of a question answering task.
        context: the user's text, the spec's `sliced_field`.
        windows: the tokens of the context, in windows.
        logits: `[S, 2]` of each window: scores to start and to end an answer at each token.
        top_k: maximum number of answers.
        max_answer_tokens: maximum length of an answer; None uses the task's setting.
    """
    rules = spec.answers or AnswerSpec()
    longest = max_answer_tokens or rules.max_answer_tokens
    spans = _best_spans(windows, logits, longest)
    scores = list(spans.values())
    found: list[Span] = list(spans)
    is_null = False
    if rules.null_threshold is not None:
        null = min(float(window[0].sum()) for window in logits)
        is_null = not scores or null - scores[0] > rules.null_threshold
        place = 0 if is_null else max(1, sum(score > null for score in scores))
        scores.insert(place, null)
        found.insert(place, (0, 0))
    if not found:
        return [TextAnswer("", 0.0, 0, 0)]
    shares = softmax(np.array(scores)).tolist()
    return [
        TextAnswer(context[start:end], share, start, end)
        for (start, end), share in zip(found[:top_k], shares, strict=False)
    ]


def _best_spans(
    windows: Sequence[EncodedText], logits: Sequence[NDArray[np.floating[Any]]], longest: int
) -> dict[Span, float]:
    """Collect the best spans of all windows with their scores, best first."""
    best: dict[Span, float] = {}
    for window, scores in zip(windows, logits, strict=True):
        for span, score in _candidates(window, scores.astype(np.float64), longest):
            best[span] = max(score, best.get(span, score))
    order = sorted(best, key=lambda span: (-best[span], span))
    return {span: best[span] for span in order[:NUM_BEST]}


def _candidates(
    window: EncodedText, logits: NDArray[np.float64], longest: int
) -> Iterator[tuple[Span, float]]:
    """Combine a window's best starts and ends to the best valid answers."""
    spans = window.spans
    places = np.array([i for i, span in enumerate(spans) if span is not None], dtype=int)
    starts, ends = (
        places[np.argsort(-logits[places, side], kind="stable")[:NUM_BEST]] for side in (0, 1)
    )
    lengths = ends[None, :] - starts[:, None] + 1
    sums = logits[starts, 0][:, None] + logits[ends, 1][None, :]
    rows, columns = np.nonzero((lengths >= 1) & (lengths <= longest))
    scores = sums[rows, columns]
    best = np.argsort(-scores, kind="stable")[:NUM_BEST]
    pairs = zip(starts[rows[best]].tolist(), ends[columns[best]].tolist(), strict=True)
    for (first, last), score in zip(pairs, scores[best].tolist(), strict=True):
        begin, end = spans[first], spans[last]
        assert begin is not None
        assert end is not None
        yield (begin[0], end[1]), score
