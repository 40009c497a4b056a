"""Warnings about names and texts that the backbone cannot read or tell apart."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from prefixes import PrefixSpec
from prefixes.backbone import Backbone, EncodedInput
from training.data.row_warnings import cut_off
from training.data.vocabulary_warnings import UnknownTokens, vocabulary_warnings
from training.errors import few
from training.examples import TaskData
from training.few_shot.heads import LabeledFeatures
from training.tasks import definition_of

_ALIKE: Final = 0.9999
"""Cosine from which the phrases of two labels are the same to the backbone."""
_REMEDY: Final = "Describe them with label_descriptions, or add rows"


def name_warnings(
    backbone: Backbone,
    labels: Sequence[str],
    names: Sequence[EncodedInput],
    rows: LabeledFeatures,
) -> Iterator[str]:
    """Check the names of labels without rows: of others, the rows say what they mean."""
    bare = np.flatnonzero(rows.counts == 0).tolist()
    unknown_counts = UnknownTokens.of(backbone, names).counts
    unknown = [repr(labels[number]) for number in bare if unknown_counts[number]]
    if unknown:
        yield (
            f"labels without rows whose names the backbone {backbone.fingerprint.name} cannot "
            f"read, because its vocabulary lacks words of them: {few(unknown)}. {_REMEDY}"
        )
    similarities = np.triu(rows.names[bare] @ rows.names[bare].T, k=1)
    pairs = [
        f"{labels[bare[one]]!r} and {labels[bare[other]]!r}"
        for one, other in np.argwhere(similarities > _ALIKE).tolist()
    ]
    if pairs:
        yield (
            f"labels without rows whose names are the same to the backbone: {few(pairs)}. {_REMEDY}"
        )


def text_warnings(
    backbone: Backbone, spec: PrefixSpec, data: TaskData, encoded: Sequence[EncodedInput]
) -> Iterator[str]:
    """Check the texts of the rows."""
    if not encoded:
        return
    yield from vocabulary_warnings(
        definition_of(spec.task_type),
        data.labels,
        data.train,
        UnknownTokens.of(backbone, encoded),
        backbone.fingerprint.name,
    )
    yield from cut_off(encoded, spec.max_length)
