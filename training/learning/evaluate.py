"""Runs and measures a folded prefix in the same way as a server."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from prefixes import Prefix, PrefixSpec
from prefixes.answers import split_outputs, whole_outputs, whole_texts
from prefixes.backbone import (
    Backbone,
    EncodedInput,
    EncodedText,
    MixedBatch,
    ResidentPrefix,
    Streams,
    pool_of,
)
from prefixes.lengths import AS_SERVED, LengthOptions
from training.data.encoding import EncodedRows, encode_rows
from training.data.snapping import snapped, was_snapped
from training.examples import Examples, Input
from training.tasks import Outputs, definition_of
from training.tasks.metrics import Measurement


def outputs_of(
    backbone: Backbone,
    prefix: Prefix,
    inputs: Sequence[EncodedInput],
    *,
    tokens_per_batch: int,
    with_projected: bool = False,
) -> list[Outputs]:
    """Return the outputs of n inputs in order: for each, a list of the outputs of its texts.

    Texts of similar lengths run together, across inputs. With `with_projected`, the outputs of a
    task whose rejection rule has vectors are followed by the projected features of the text.
    """
    pool, (resident,) = pool_of(backbone, [prefix])
    found = _run(backbone, pool, resident, inputs, tokens_per_batch)
    count = resident.head.num_projected
    if with_projected or count == 0:
        return found
    return [[split_outputs(values, count)[0] for values in texts] for texts in found]


def features_of(
    backbone: Backbone, prefix: Prefix, inputs: Sequence[EncodedInput], *, tokens_per_batch: int
) -> NDArray[np.float32]:
    """Return the features `[n, hidden]` of n inputs of one text: what the output layer reads."""
    pool, (resident,) = pool_of(backbone, [prefix])
    head = replace(resident.head, output_weight=None, output_bias=None, num_projected=0)
    bare = replace(resident, head=head)
    return np.stack([x for (x,) in _run(backbone, pool, bare, inputs, tokens_per_batch)])


def _run(
    backbone: Backbone,
    pool: Tensor,
    resident: ResidentPrefix,
    inputs: Sequence[EncodedInput],
    tokens_per_batch: int,
) -> list[Outputs]:
    texts = inputs.texts if isinstance(inputs, EncodedRows) else _flat(inputs)
    lengths = [len(text.token_ids) for text in texts]
    by_length = sorted(range(len(texts)), key=lengths.__getitem__)

    def run(numbers: Sequence[int]) -> list[NDArray[np.float32]]:
        batch = MixedBatch.pack(backbone, [(texts[number], resident) for number in numbers])
        results = batch.outputs(backbone, pool)
        # A copy, because results are views that would keep the tensor of the whole batch alive.
        return [values.numpy().copy() for values in results]

    outputs: dict[int, NDArray[np.float32]] = {}
    with Streams.on(backbone.device) as streams:
        most = max(1, tokens_per_batch // streams.num)
        passes = batches(by_length, lengths, most, at_once=streams.num)
        for numbers, values in zip(passes, streams.map(run, passes), strict=True):
            outputs |= zip(numbers, values, strict=True)
    flat = (outputs[number] for number in range(len(texts)))
    return [[next(flat) for _ in encoded] for encoded in inputs]


def _flat(inputs: Sequence[EncodedInput]) -> list[EncodedText]:
    return [text for encoded in inputs for text in encoded]


def batches(
    rows: Sequence[int], lengths: Sequence[int], tokens_per_batch: int, *, at_once: int = 1
) -> list[list[int]]:
    """Split rows into batches of similar token counts, so that `at_once` batches end together.

    A batch has at most `tokens_per_batch` tokens. A longer row is a batch of its own.
    """
    total = sum(lengths[row] for row in rows)
    share = total / (at_once * max(1, math.ceil(total / (tokens_per_batch * at_once))))
    cut: list[list[int]] = []
    tokens = before = 0
    for row in rows:
        is_full = tokens + lengths[row] > tokens_per_batch
        if not cut or is_full or before + lengths[row] / 2 > share * len(cut):
            cut.append([])
            tokens = 0
        cut[-1].append(row)
        tokens += lengths[row]
        before += lengths[row]
    return cut


def merged_outputs(
    backbone: Backbone,
    prefix: Prefix,
    inputs: Sequence[EncodedInput],
    *,
    tokens_per_batch: int,
    with_projected: bool = False,
) -> list[Outputs]:
    """Return the outputs as `outputs_of`, with those of the windows of long texts merged.

    They belong to the texts that `EncodedRows.whole` returns.
    """
    outputs = outputs_of(
        backbone, prefix, inputs, tokens_per_batch=tokens_per_batch, with_projected=with_projected
    )
    if not inputs or inputs[0][0].window is None:
        return outputs
    return [
        _merged(prefix.spec, texts, values) for texts, values in zip(inputs, outputs, strict=True)
    ]


def _merged(spec: PrefixSpec, texts: EncodedInput, outputs: Outputs) -> Outputs:
    if spec.task_type != "sequence_classification":
        return whole_outputs(spec, texts, outputs)
    count = outputs[0].size - spec.num_labels
    pairs = [split_outputs(values, count) for values in outputs]
    (merged,) = whole_outputs(spec, texts, [logits for logits, _ in pairs])
    features = [projected for _, projected in pairs if projected is not None]
    if not features:
        return [merged]
    return [np.concatenate([merged, np.mean(features, axis=0)]).astype(np.float32)]


def served_outputs(
    backbone: Backbone,
    prefix: Prefix,
    examples: Examples[Any],
    *,
    tokens_per_batch: int,
    lengths: LengthOptions = AS_SERVED,
) -> tuple[EncodedRows, list[Outputs]]:
    """Return the whole texts of examples, and the outputs that a server computes for them.

    The outputs of a task whose rejection rule has vectors include the projected features.
    """
    windows = encode_rows(backbone, prefix.spec, examples, lengths)
    outputs = merged_outputs(
        backbone, prefix, windows, tokens_per_batch=tokens_per_batch, with_projected=True
    )
    return windows.whole(), outputs


def evaluate(
    backbone: Backbone,
    prefix: Prefix,
    examples: Examples[Any],
    *,
    tokens_per_batch: int,
    lengths: LengthOptions = AS_SERVED,
) -> Measurement:
    """Measure a prefix on examples."""
    encoded, outputs = served_outputs(
        backbone, prefix, examples, tokens_per_batch=tokens_per_batch, lengths=lengths
    )
    definition = definition_of(prefix.spec.task_type)
    return definition.measure(prefix.spec, examples, encoded, outputs)


def as_learned(backbone: Backbone, prefix: Prefix, examples: Examples[Any]) -> Examples[Any]:
    """Prepare labeled rows in the same way as the training rows of a prefix."""
    return snapped(prefix.spec, examples, backbone) if was_snapped(prefix.spec) else examples


def predictions(
    backbone: Backbone,
    prefix: Prefix,
    inputs: Sequence[Input],
    *,
    tokens_per_batch: int,
    lengths: LengthOptions = AS_SERVED,
) -> Iterator[dict[str, Any]]:
    """Yield the fields of each input together with its answer."""
    definition = definition_of(prefix.spec.task_type)
    windows = backbone.texts.encode(prefix.spec, inputs, lengths=lengths)
    outputs = merged_outputs(
        backbone, prefix, windows, tokens_per_batch=tokens_per_batch, with_projected=True
    )
    for fields, texts, values in zip(inputs, map(whole_texts, windows), outputs, strict=True):
        yield {**fields, **definition.answer(prefix.spec, fields, texts, values)}
