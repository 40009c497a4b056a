"""Estimates of what inputs cost once their tasks are known, before they are tokenized.

They contain what a task makes of its inputs: windows of long texts, one text per choice, and the
texts that an explanation runs. `text_sizes` estimates inputs without a task.
"""

import math
from collections.abc import Iterator, Mapping

from prefixes import PrefixSpec
from prefixes.lengths import LengthOptions
from prefixes.occlusion import OcclusionOptions
from prefixes.spec import MAX_WINDOWS
from prefixes.template import CHOICES, InputFields, TokenIds
from server.engine.text_sizes import num_characters, num_tokens_of


def expected_tokens(
    spec: PrefixSpec,
    fields: InputFields,
    lengths: LengthOptions,
    explain: OcclusionOptions | None,
) -> int:
    """Estimate how many tokens the device runs for an input of a task."""
    num_tokens = sum(_num_read(spec, lengths, count) for count in _texts_of(fields))
    if explain is None or spec.task_type != "sequence_classification":
        return num_tokens
    return num_tokens * (1 + _num_parts(explain, num_tokens))


def _texts_of(fields: InputFields) -> Iterator[int]:
    """Estimate the number of tokens of each text that an input becomes."""
    if isinstance(fields, TokenIds):
        yield len(fields.ids)
        return
    choices = fields.get(CHOICES) if isinstance(fields, Mapping) else None
    num_others = num_characters(fields)
    if not isinstance(choices, list):
        yield num_tokens_of(num_others)
        return
    num_others -= sum(map(len, choices))
    for choice in choices:
        yield num_tokens_of(num_others + len(choice))


def _num_read(spec: PrefixSpec, lengths: LengthOptions, num_tokens: int) -> int:
    """Return how many tokens of a text are read, those in two windows twice."""
    windows, max_length = lengths.windows_of(spec), spec.max_length
    if spec.answers is not None:
        stride, max_windows = spec.answers.stride, MAX_WINDOWS
    elif windows is not None and windows.merge != "first":
        stride, max_windows = windows.stride, windows.max_windows
    else:
        return min(num_tokens, max_length)
    if num_tokens <= max_length:
        return num_tokens
    stride = min(stride, max_length // 2)
    num_windows = 1 + math.ceil((num_tokens - max_length) / (max_length - stride))
    if num_windows > max_windows:
        return max_windows * max_length
    return num_tokens + (num_windows - 1) * stride


def _num_parts(explain: OcclusionOptions, num_tokens: int) -> int:
    """Estimate the number of parts that are left out: the spans, or about one per token."""
    if explain.spans is not None:
        return sum(map(len, explain.spans.values()))
    return min(explain.max_parts, num_tokens)
