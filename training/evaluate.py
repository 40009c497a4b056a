"""Run a folded prefix over inputs, as a server would, and measure what it says."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefixes import Prefix
from prefixes.backbone import Backbone, EncodedInput, pool_of, run_mixed
from training.examples import Examples, Input
from training.metrics import Measurement
from training.tasks import KINDS, Outputs


def outputs_of(
    backbone: Backbone, prefix: Prefix, inputs: Sequence[EncodedInput], *, tokens_per_batch: int
) -> list[Outputs]:
    """Compute the outputs of n inputs, in their order: for each a list of those of its texts.

    Texts of similar lengths run together, whichever inputs they belong to.
    """
    pool, (resident,) = pool_of(backbone, [prefix])
    texts = [text for encoded in inputs for text in encoded]
    lengths = [len(text.token_ids) for text in texts]
    by_length = sorted(range(len(texts)), key=lengths.__getitem__)
    outputs: dict[int, NDArray[np.float32]] = {}
    for numbers in batches(by_length, lengths, tokens_per_batch):
        results = run_mixed(backbone, pool, [(texts[number], resident) for number in numbers])
        # A copy, for the results of a batch are parts of one tensor and would keep it whole.
        outputs |= zip(numbers, (values.numpy().copy() for values in results), strict=True)
    flat = (outputs[number] for number in range(len(texts)))
    return [[next(flat) for _ in encoded] for encoded in inputs]


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
    backbone: Backbone, prefix: Prefix, examples: Examples[Any], *, tokens_per_batch: int
) -> Measurement:
    """Measure a prefix on examples."""
    kind = KINDS[prefix.spec.task_type]
    encoded = kind.encode(backbone.texts, prefix.spec, examples)
    outputs = outputs_of(backbone, prefix, encoded, tokens_per_batch=tokens_per_batch)
    return kind.measure(prefix.spec, examples, encoded, outputs)


def predictions(
    backbone: Backbone, prefix: Prefix, inputs: Sequence[Input], *, tokens_per_batch: int
) -> Iterator[dict[str, Any]]:
    """Give each input's fields, and what the prefix says of them."""
    kind = KINDS[prefix.spec.task_type]
    encoded = backbone.texts.encode(prefix.spec, inputs)
    outputs = outputs_of(backbone, prefix, encoded, tokens_per_batch=tokens_per_batch)
    for fields, texts, values in zip(inputs, encoded, outputs, strict=True):
        yield {**fields, **kind.answer(prefix.spec, fields, texts, values)}
