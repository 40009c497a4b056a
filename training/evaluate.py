"""Run a folded prefix over texts, as a server would, and measure what it says."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prefixes import Prefix
from prefixes.backbone import Backbone, EncodedText, pool_of, run_mixed
from training.data import LabelledTexts
from training.metrics import Measurement, measure


def logits_of(
    backbone: Backbone, prefix: Prefix, texts: Sequence[EncodedText], *, tokens_per_batch: int
) -> NDArray[np.float32]:
    """Compute the logits `[n, C]` of n texts, similar lengths together, in their own order."""
    pool, (resident,) = pool_of(backbone, [prefix])
    logits = np.empty((len(texts), prefix.spec.num_labels), dtype=np.float32)
    lengths = [len(text.token_ids) for text in texts]
    by_length = sorted(range(len(texts)), key=lengths.__getitem__)
    for rows in batches(by_length, lengths, tokens_per_batch):
        results = run_mixed(backbone, pool, [(texts[row], resident) for row in rows])
        logits[rows] = np.stack([values.numpy() for values in results])
    return logits


def batches(rows: Sequence[int], lengths: Sequence[int], tokens_per_batch: int) -> list[list[int]]:
    """Cut rows into batches of at most so many tokens; a longer row is a batch of its own."""
    cut: list[list[int]] = []
    tokens = 0
    for row in rows:
        if not cut or tokens + lengths[row] > tokens_per_batch:
            cut.append([])
            tokens = 0
        cut[-1].append(row)
        tokens += lengths[row]
    return cut


def evaluate(
    backbone: Backbone, prefix: Prefix, data: LabelledTexts, *, tokens_per_batch: int
) -> Measurement:
    """Measure a prefix on labelled texts."""
    texts = [text for (text,) in backbone.texts.encode(prefix.spec, data.inputs)]
    logits = logits_of(backbone, prefix, texts, tokens_per_batch=tokens_per_batch)
    spec = prefix.spec
    return measure(spec.problem_type, spec.labels, logits, data.targets, thresholds=spec.thresholds)
