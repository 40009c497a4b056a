"""Explains the predictions of a folded prefix in the same way as a server."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from prefixes import Prefix
from prefixes.answers import explain
from prefixes.backbone import Backbone, EncodedInput, EncodeJob
from prefixes.encoded import OccludedPart
from prefixes.errors import InputRejected
from prefixes.lengths import AS_SERVED, LengthOptions
from prefixes.occlusion import OcclusionOptions
from training.examples import Input
from training.learning.evaluate import merged_outputs

_INPUTS_AT_ONCE: Final = 64
"""Each becomes up to 65 texts, which are held in memory."""


def explanations(
    backbone: Backbone,
    prefix: Prefix,
    inputs: Sequence[Input],
    *,
    tokens_per_batch: int,
    lengths: LengthOptions = AS_SERVED,
) -> Iterator[dict[str, Any]]:
    """Yield the explanation of each input's best label, in the form of the server's responses.

    Args:
        backbone: the backbone that the prefix fits.
        prefix: of a sequence classification task.
        inputs: the inputs.
        tokens_per_batch: maximum number of tokens of a batch.
        lengths: the handling of texts that are too long.
    """
    for first in range(0, len(inputs), _INPUTS_AT_ONCE):
        some = inputs[first : first + _INPUTS_AT_ONCE]
        yield from _explained(backbone, prefix, some, tokens_per_batch, lengths)


def _explained(
    backbone: Backbone,
    prefix: Prefix,
    inputs: Sequence[Input],
    tokens_per_batch: int,
    lengths: LengthOptions,
) -> Iterator[dict[str, Any]]:
    spec = prefix.spec
    encoded = _encode(backbone, EncodeJob(spec, inputs, lengths, explain=OcclusionOptions()))
    parts_of = [texts[0].occluded_parts for texts in encoded]
    left_out = [
        (fields, part)
        for fields, parts in zip(inputs, parts_of, strict=True)
        for part in parts
        if not part.is_all
    ]
    job = EncodeJob(
        spec,
        [fields for fields, _ in left_out],
        lengths,
        left_out=[part for _, part in left_out],
    )
    rows = [*encoded, *_encode(backbone, job)]
    outputs = merged_outputs(backbone, prefix, rows, tokens_per_batch=tokens_per_batch)
    rest = iter(outputs[len(inputs) :])
    for fields, parts, (logits,) in zip(inputs, parts_of, outputs[: len(inputs)], strict=True):
        others = [None if part.is_all else next(rest)[0] for part in parts]
        found = explain(spec, logits, others)
        yield {
            "label": found.label,
            "logit": found.logit,
            "grouped": any(part.num_words > 1 for part in parts),
            "parts": [
                _part(fields, part, change)
                for part, change in zip(parts, found.changes, strict=True)
            ],
        }


def _encode(backbone: Backbone, job: EncodeJob) -> list[EncodedInput]:
    (result,) = backbone.texts.encode_together([job])
    if isinstance(result, InputRejected):
        raise result
    return result


def _part(fields: Input, part: OccludedPart, change: float | None) -> dict[str, Any]:
    text = str(fields[part.field])[part.start : part.end]
    written = {"field": part.field, "start": part.start, "end": part.end, "text": text}
    return written if change is None else {**written, "change": change}
