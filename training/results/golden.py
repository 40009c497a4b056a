"""Golden examples: inputs in a prefix file with the outputs that every server must reproduce."""

import json
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from prefixes import GoldenExample, InputTemplate, Prefix, PrefixRejected
from prefixes.backbone import Backbone, replay_findings
from prefixes.file import MAX_HEADER_BYTES
from prefixes.made_up import made_up_inputs
from prefixes.spec import MAX_LABELS
from training.examples import Examples, Input
from training.learning.evaluate import outputs_of
from training.settings.config import TrainConfig
from training.tasks import definition_of

_CANDIDATES: Final = 4
"""Candidates per golden example. Examples that are too large are skipped."""
_GOLDEN_BYTES: Final = MAX_HEADER_BYTES // 2
"""Maximum bytes of golden examples in a file's header. The rest of the description needs space."""


def golden_examples(
    backbone: Backbone,
    config: TrainConfig,
    prefix: Prefix,
    template: InputTemplate,
    rows: Examples[Any],
) -> tuple[GoldenExample, ...]:
    """Choose inputs that are not too large from rows, or make them up; return them with outputs."""
    inputs = _candidates(config, template, rows)
    outputs = _flat_outputs(backbone, prefix, inputs)
    candidates = (
        GoldenExample(fields=dict(fields), logits=tuple(map(float, row)))
        for fields, row in zip(inputs, outputs, strict=True)
        if len(row) <= MAX_LABELS
    )
    return _fitting(candidates, config.golden_examples)


def replay(backbone: Backbone, prefix: Prefix) -> None:
    """Run the golden examples again and compare the logits.

    Raises:
        PrefixRejected: naming each example whose logits differ from the file.
    """
    if not prefix.spec.golden:
        return
    outputs = _flat_outputs(backbone, prefix, [one.fields for one in prefix.spec.golden])
    findings = replay_findings(prefix.spec, outputs, backbone.dtype)
    if findings:
        raise PrefixRejected(findings)


def _candidates(
    config: TrainConfig, template: InputTemplate, rows: Examples[Any]
) -> Sequence[Input]:
    """Choose inputs for golden examples, with as many different truths as possible."""
    number = config.golden_examples * _CANDIDATES
    if config.golden_inputs == "made_up" or not rows:
        return made_up_inputs(template, number)
    definition = definition_of(config.task_type)
    strata = [definition.stratum(truth) for truth in rows.truths]
    return [rows.inputs[row] for row in _spread(strata, number)]


def _fitting(candidates: Iterable[GoldenExample], count: int) -> tuple[GoldenExample, ...]:
    """Return the first examples that fit in the header of a file."""
    taken: list[GoldenExample] = []
    room = _GOLDEN_BYTES
    for example in candidates:
        # The description is a string within the header's JSON: what it quotes is quoted twice.
        size = len(json.dumps(example.model_dump_json(), ensure_ascii=False).encode())
        if len(taken) < count and size <= room:
            taken.append(example)
            room -= size
    return tuple(taken)


def _flat_outputs(
    backbone: Backbone, prefix: Prefix, inputs: Sequence[Input]
) -> list[NDArray[np.float32]]:
    """Return all outputs of each input as one flat array."""
    encoded = backbone.texts.encode(prefix.spec, inputs)
    outputs = outputs_of(backbone, prefix, encoded, tokens_per_batch=1)
    return [np.concatenate([values.ravel() for values in texts]) for texts in outputs]


def _spread(strata: Sequence[Hashable], count: int) -> list[int]:
    """Return `count` rows: the first of every stratum before the second of any."""
    seen = Counter[Hashable]()
    turns = []
    for row, stratum in enumerate(strata):
        seen[stratum] += 1
        turns.append((seen[stratum], row))
    return [row for _, row in sorted(turns)[:count]]
