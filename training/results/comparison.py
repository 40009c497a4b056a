"""Comparison: how metrics and answers of a prefix differ from float32 in another precision."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from prefixes import Prefix
from prefixes.answers import whole_texts
from prefixes.backbone import Backbone
from prefixes.lengths import AS_SERVED, LengthOptions
from training.examples import Examples
from training.learning.evaluate import merged_outputs
from training.tasks import definition_of
from training.tasks.metrics import Measurement

_NUMBERS: Final = frozenset({"score", "scores", "embedding"})
"""Members of an answer that vary slightly with the precision and decide nothing."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The metrics of a prefix in the precision of the backbone, and in float32.

    `changed` is the share of rows whose label, entities or answer differ from float32. It is None
    for tasks whose answers are only numbers.
    """

    measurement: Measurement
    exact: Measurement
    changed: float | None

    @property
    def differences(self) -> dict[str, float]:
        """The difference of each metric from its value in float32."""
        return {
            name: value - self.exact.metrics[name]
            for name, value in self.measurement.metrics.items()
        }


def compare(
    backbone: Backbone,
    exact: Backbone,
    prefix: Prefix,
    examples: Examples[Any],
    *,
    tokens_per_batch: int,
    lengths: LengthOptions = AS_SERVED,
) -> Comparison:
    """Measure a prefix on examples with two backbones that differ only in precision."""
    definition = definition_of(prefix.spec.task_type)
    windows = definition.encode(backbone.texts, prefix.spec, examples, lengths)
    encoded = list(map(whole_texts, windows))
    measurements, answers = [], []
    for one in (backbone, exact):
        outputs = merged_outputs(
            one, prefix, windows, tokens_per_batch=tokens_per_batch, with_projected=True
        )
        measurements.append(definition.measure(prefix.spec, examples, encoded, outputs))
        answers.append(
            [
                _decided(definition.answer(prefix.spec, fields, texts, values))
                for fields, texts, values in zip(examples.inputs, encoded, outputs, strict=True)
            ]
        )
    pairs = list(zip(*answers, strict=True))
    decides = any(any(pair) for pair in pairs)
    changed = sum(one != other for one, other in pairs) / len(pairs) if decides else None
    return Comparison(measurements[0], measurements[1], changed)


def _decided(answer: Any) -> Any:
    """Remove the numbers of an answer, so that answers can be compared for equality."""
    if isinstance(answer, Mapping):
        return {name: _decided(part) for name, part in answer.items() if name not in _NUMBERS}
    if isinstance(answer, list):
        return [_decided(part) for part in answer]
    return answer
