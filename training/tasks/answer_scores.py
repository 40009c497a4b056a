"""How well answers match the true ones, as the official evaluation of SQuAD counts it."""

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np

from training.metrics import Measurement

_ARTICLES: Final = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION: Final = str.maketrans("", "", string.punctuation)


def score_answers(found: Sequence[str], true: Sequence[Sequence[str]]) -> Measurement:
    """Hold the answers to n questions against all true ones of each; none is the empty text.

    Of several true answers the one counts that fits best.
    """
    exact, overlap = [], []
    for answer, accepted in zip(found, true, strict=True):
        words = normalised(answer)
        gold = [normalised(text) for text in accepted] or [[]]
        exact.append(float(words in gold))
        overlap.append(max(_f1(words, one) for one in gold))
    return Measurement({"f1": float(np.mean(overlap)), "exact_match": float(np.mean(exact))})


def normalised(answer: str) -> list[str]:
    """Split an answer into words, without case, punctuation and articles."""
    plain = answer.lower().translate(_NO_PUNCTUATION)
    return _ARTICLES.sub(" ", plain).split()


def _f1(words: Sequence[str], gold: Sequence[str]) -> float:
    if not words or not gold:
        return float(words == gold)
    common = (Counter(words) & Counter(gold)).total()
    return 2 * common / (len(words) + len(gold))
