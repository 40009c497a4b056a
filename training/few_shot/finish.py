"""Turns a computed head into a file that is measured and checked."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from prefixes import Prefix
from prefixes.backbone import Backbone
from training.data.encoding import encode_rows
from training.examples import Examples, TaskData
from training.few_shot.fit import FittedHead
from training.learning.evaluate import evaluate, outputs_of
from training.results.finish import FinishedPrefix, in_type, with_reference, write_prefix
from training.results.thresholds import fit_thresholds
from training.settings.config import TrainConfig
from training.settings.threshold_target import ThresholdTarget
from training.tasks import Outputs
from training.tasks.metrics import Measurement


def finish_head(
    backbone: Backbone,
    config: TrainConfig,
    data: TaskData,
    fitted: FittedHead,
    *,
    tokens_per_batch: int,
) -> FinishedPrefix:
    """Make the file of a head, and measure it: on the validation rows, or by cross-validation.

    Raises:
        PrefixRejected: when the bytes do not read back as a prefix for this backbone that gives
            the logits of its golden examples.
    """
    head = in_type(fitted.prefix, config.file_dtype)
    thresholds = None
    if config.threshold is not None:
        target = ThresholdTarget.parse(config.threshold)
        rows, outputs = _measured_rows(backbone, head, data, fitted, tokens_per_batch)
        head, thresholds = fit_thresholds(head, rows, outputs, target)
    validation = test = None
    if data.validation:
        head, validation = with_reference(
            backbone, head, data.validation, tokens_per_batch=tokens_per_batch
        )
    if data.test:
        test = evaluate(backbone, head, data.test, tokens_per_batch=tokens_per_batch)
    temperature = 1 / fitted.scale
    prefix, written = write_prefix(
        backbone,
        config,
        data,
        head,
        measurements={
            "validation": validation,
            "cross_validation": fitted.cross_validation,
            "test": test,
        },
        temperature=temperature,
        origins={"computed_by": fitted.computed_by},
    )
    return FinishedPrefix(
        prefix,
        written,
        validation or fitted.cross_validation or Measurement({}),
        test,
        temperature,
        is_cross_validated=validation is None and fitted.cross_validation is not None,
        thresholds=thresholds,
    )


def _measured_rows(
    backbone: Backbone, head: Prefix, data: TaskData, fitted: FittedHead, tokens_per_batch: int
) -> tuple[Examples[Any], Sequence[Outputs]]:
    """Return rows that the head has not seen, with their outputs: those left out, if no others."""
    if not data.validation:
        return data.train, [[row] for row in fitted.left_out.astype(np.float32)]
    encoded = encode_rows(backbone, head.spec, data.validation)
    return data.validation, outputs_of(backbone, head, encoded, tokens_per_batch=tokens_per_batch)
