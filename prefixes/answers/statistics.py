"""Counts texts and answers into histograms, and compares two histograms."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from prefixes.answers.labels import DEFAULT_THRESHOLD, sigmoid, softmax
from prefixes.encoded import EncodedInput
from prefixes.spec import PrefixSpec
from prefixes.spec.statistics import NUM_LENGTHS, NUM_SCORES, UNKNOWN_BOUNDS, AnswerStatistics

_SMOOTHING: Final = 0.5
_CONFIDENCE: Final = 1.645
"""Standard deviations above the mean that a normal distribution exceeds in 5 % of all cases."""


def count_answers(
    spec: PrefixSpec,
    inputs: Sequence[EncodedInput],
    outputs: Sequence[Sequence[NDArray[np.float32]]],
    *,
    unknown_token: int | None,
) -> AnswerStatistics:
    """Count inputs of one task, and their answers.

    A label counts where its own threshold in the file, or 0.5, is reached (several labels), or
    where it is the most probable one. Rules on top of that do not matter here: a change of rules
    must not look like a drift.

    Args:
        spec: the description of the task.
        inputs: the texts of each input.
        outputs: the outputs of each text. An input of a task with labels of texts is one text, with
            outputs `[labels]`.
        unknown_token: the token id for unknown text; None if the vocabulary covers every text.
    """
    lengths = np.array([_num_tokens(texts) for texts in inputs])
    unknown = np.array([_num_unknown(texts, unknown_token) for texts in inputs]) / lengths
    found = {
        "lengths": _bins(np.floor(2 * np.log2(lengths)), NUM_LENGTHS),
        "unknown": _bins(np.searchsorted(UNKNOWN_BOUNDS, unknown), len(UNKNOWN_BOUNDS) + 1),
    }
    if spec.has_labels_of_texts:
        logits = np.stack([values for (values,) in outputs])  # (inputs, labels)
        found |= _count_labels(spec, logits)
    return AnswerStatistics(texts=len(inputs), **found)


def _count_labels(spec: PrefixSpec, logits: NDArray[np.floating]) -> dict[str, tuple[int, ...]]:
    if spec.problem_type == "multi_label_classification":
        scores = sigmoid(logits)
        chosen = scores >= np.array(spec.thresholds or DEFAULT_THRESHOLD)
        labels = (*chosen.sum(axis=0).tolist(), int((~chosen.any(axis=1)).sum()))
    else:
        scores = softmax(logits)
        labels = _bins(scores.argmax(axis=1), spec.num_labels + 1)
    return {"labels": labels, "scores": _bins(scores.max(axis=1) * NUM_SCORES, NUM_SCORES)}


def _bins(values: NDArray[np.floating] | NDArray[np.integer], number: int) -> tuple[int, ...]:
    """Count values by their integer part; larger ones count in the last bin."""
    places = np.minimum(values.astype(np.int64), number - 1)
    return tuple(np.bincount(places, minlength=number).tolist())


def _num_tokens(texts: EncodedInput) -> int:
    return sum(len(text.token_ids) for text in texts)


def _num_unknown(texts: EncodedInput, unknown_token: int | None) -> int:
    if unknown_token is None:
        return 0
    return sum(list(text.token_ids).count(unknown_token) for text in texts)


def stability_index(expected: Sequence[int], found: Sequence[int]) -> tuple[float, float]:
    """Return the population stability index (PSI), and the bound that chance rarely exceeds.

    The index is the sum of (p - q) ln(p / q) over all bins, where p and q are the shares of a bin
    (Siddiqi, "Credit Risk Scorecards", 2006: above 0.25, the population has changed). Half a text
    is added to each bin, so that an empty one does not make the index infinite. Without a change,
    the index is about chi-squared with B - 1 degrees of freedom, times 1/N + 1/M (Yurdakul,
    "Statistical Properties of Population Stability Index", 2018); 5 % of samples exceed the bound.
    Bins that are empty on both sides are left out.
    """
    p, q = np.array(expected, np.float64), np.array(found, np.float64)
    is_used = (p + q) > 0
    total, other = p.sum(), q.sum()
    if not total or not other:
        return 0.0, float("inf")
    p, q = p[is_used] + _SMOOTHING, q[is_used] + _SMOOTHING
    p, q = p / p.sum(), q / q.sum()
    freedom = max(1, len(p) - 1)
    by_chance = (freedom + _CONFIDENCE * (2 * freedom) ** 0.5) * (1 / total + 1 / other)
    return float(((p - q) * np.log(p / q)).sum()), float(by_chance)
