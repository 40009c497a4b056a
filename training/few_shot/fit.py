"""Computes the head of a task, and the prefix that holds it."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from prefixes import InputTemplate, Prefix, PrefixSpec
from prefixes.backbone import Backbone, EncodedInput
from prefixes.lengths import AS_SERVED
from training.data.encoding import encode_rows
from training.examples import TaskData
from training.few_shot.features import Features, Progress, features_of
from training.few_shot.phrases import phrases_of
from training.few_shot.selection import ONE_LABEL, SEVERAL_LABELS, ServedHead, served_head
from training.few_shot.served_texts import ServedTexts
from training.few_shot.warnings import name_warnings, text_warnings
from training.learning.learner import describe_fitting
from training.settings.config import TrainConfig
from training.tasks.metrics import Measurement, measure


@dataclass(frozen=True, slots=True, eq=False)
class FittedHead:
    """A calibrated head as a prefix, how it was computed, and its measurement on its own rows.

    `cross_validation` is None without rows. Each row was measured with a head that did not see it,
    whose logits are `left_out` `[n, C]`.
    """

    prefix: Prefix
    computed_by: str
    scale: float
    cross_validation: Measurement | None
    left_out: Features
    warnings: tuple[str, ...]


def fit(
    backbone: Backbone,
    config: TrainConfig,
    data: TaskData,
    *,
    tokens_per_batch: int,
    report: Progress | None,
) -> FittedHead:
    """Compute the head of a task from its labels and `data.train`.

    Raises:
        PlanRejected: if the task does not fit the backbone.
    """
    spec = describe_fitting(config, data, backbone)
    names = encode_names(backbone, spec, config.label_descriptions)
    encoded = encode_rows(backbone, spec, data.train)
    long_rows = encode_rows(backbone, spec, data.train, AS_SERVED).long_rows()
    texts = [*(text for (text,) in names), *encoded.texts, *chain(*long_rows.values())]
    features = features_of(
        backbone, spec.head, texts, tokens_per_batch=tokens_per_batch, report=report
    )
    has_several = spec.problem_type == "multi_label_classification"
    shape = (len(data.train), len(names)) if has_several else len(data.train)
    labels = np.array(data.train.truths, np.int64).reshape(shape)
    family = SEVERAL_LABELS if has_several else ONE_LABEL
    of_names, of_rows, of_windows = np.split(features, [len(names), len(names) + len(encoded)])
    read = ServedTexts.of_rows(spec, of_rows, long_rows, of_windows)
    served = served_head(of_names, of_rows, labels, family, read)
    measured = None
    if len(labels):
        assert spec.problem_type is not None
        measured = measure(spec.problem_type, data.labels, served.left_out, labels)
    return FittedHead(
        _prefix(spec, served),
        served.computed_by,
        served.scale,
        measured,
        served.left_out,
        (
            *name_warnings(backbone, data.labels, names, served.rows),
            *text_warnings(backbone, spec, data, encoded),
        ),
    )


def encode_names(
    backbone: Backbone, spec: PrefixSpec, descriptions: Mapping[str, str] | None
) -> list[EncodedInput]:
    """Tokenize a phrase for each label: in the template of the task, if that has a single field."""
    template = spec.input if len(spec.input.fields) == 1 else InputTemplate()
    (field,) = template.fields
    inputs = [{field: phrase} for phrase in phrases_of(spec.labels, descriptions)]
    return backbone.texts.encode(spec.model_copy(update={"input": template}), inputs)


def _prefix(spec: PrefixSpec, served: ServedHead) -> Prefix:
    tensors: dict[str, Any] = {
        "head.output.weight": served.head.weight.astype(np.float32),
        "head.output.bias": served.head.bias.astype(np.float32),
    }
    return Prefix(spec, tensors)
