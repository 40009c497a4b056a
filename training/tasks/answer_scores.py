"""Metrics of answers, as in the official evaluation of SQuAD."""

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.examples import Candidate
from training.tasks.metrics import Measurement

_ARTICLES: Final = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION: Final = str.maketrans("", "", string.punctuation)


def score_answers(found: Sequence[str], true: Sequence[Sequence[str]]) -> Measurement:
    """Compare the answers to n questions with the true answers. No answer is an empty text.

    If a question has several true answers, the best match counts. If only some questions have an
    answer, both groups have metrics of their own.
    """
    pairs = list(zip(found, true, strict=True))
    scores = np.array([_overlap(answer, accepted) for answer, accepted in pairs])
    has_answer = np.array([bool(accepted) for accepted in true])
    metrics = _means("", scores)
    if has_answer.any() and not has_answer.all():
        metrics |= _means("has_answer_", scores[has_answer])
        metrics |= _means("no_answer_", scores[~has_answer])
    return Measurement(metrics)


def score_candidates(candidates: Sequence[Candidate], scores: Sequence[float]) -> dict[str, float]:
    """Compare the best candidate of each query with the accepted answers, as ReCoRD does.

    Metrics are the best F1 and the best exact match over the accepted answers, averaged over
    queries. Among equal scores, the alphabetically last text counts, as in P-tuning v2. A query
    without an accepted answer scores 0.
    """
    best: dict[str, tuple[float, str, Candidate]] = {}
    for candidate, score in zip(candidates, scores, strict=True):
        entry = (score, candidate.text, candidate)
        if candidate.query not in best or entry[:2] > best[candidate.query][:2]:
            best[candidate.query] = entry
    found = [
        _overlap(text, one.accepted) if one.accepted else (0, 0) for _, text, one in best.values()
    ]
    return _means("query_", np.array(found))


def _overlap(answer: str, accepted: Sequence[str]) -> tuple[float, float]:
    """Return F1 and exact match with the best accepted answer."""
    words = normalized(answer)
    gold = [normalized(text) for text in accepted] or [[]]
    return max(_f1(words, one) for one in gold), float(words in gold)


def _means(prefix: str, scores: NDArray[np.float64]) -> dict[str, float]:
    f1, exact = scores.mean(axis=0).tolist()
    return {f"{prefix}f1": f1, f"{prefix}exact_match": exact}


def normalized(answer: str) -> list[str]:
    """Split an answer into words, without case, punctuation and articles."""
    plain = answer.lower().translate(_NO_PUNCTUATION)
    return _ARTICLES.sub(" ", plain).split()


def _f1(words: Sequence[str], gold: Sequence[str]) -> float:
    if not words or not gold:
        return float(words == gold)
    common = (Counter(words) & Counter(gold)).total()
    return 2 * common / (len(words) + len(gold))
