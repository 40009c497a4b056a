"""Features of texts: the pooled hidden states of the frozen backbone, without a prefix."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefixes import HeadSpec
from prefixes.backbone import Backbone, EncodedText, Head, MixedBatch
from training.learning.evaluate import batches

Features = NDArray[np.floating[Any]]

Progress = Callable[[int, int], None]
"""Takes the number of texts that are done, and that of all texts."""


def features_of(
    backbone: Backbone,
    head: HeadSpec,
    texts: Sequence[EncodedText],
    *,
    tokens_per_batch: int,
    report: Progress | None,
) -> Features:
    """Return the features `[n, hidden]` of n texts, as a head with this pooling reads them.

    `report` is called after each batch.
    """
    bare = Head(HeadSpec(pooling=head.pooling))
    pool = backbone.empty_pool(1)
    lengths = [len(text.token_ids) for text in texts]
    features = np.empty((len(texts), backbone.fingerprint.hidden_size))
    done = 0
    for numbers in batches(np.argsort(lengths).tolist(), lengths, tokens_per_batch):
        packed = backbone.pack([backbone.row(texts[number]) for number in numbers])
        batch = MixedBatch(packed, (bare,) * len(numbers))
        features[numbers] = np.stack([one.numpy() for one in batch.outputs(backbone, pool)])
        done += len(numbers)
        if report is not None:
            report(done, len(texts))
    return features
