"""Turns a computed head into a file that is measured and checked."""

import numpy as np

from prefixes.backbone import Backbone
from training.examples import TaskData
from training.few_shot.fit import FittedHead
from training.learning.evaluate import evaluate
from training.results.finish import (
    FinishedPrefix,
    fit_rules,
    in_type,
    with_thresholds,
    write_prefix,
)
from training.settings.config import TrainConfig
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
    validation = test = None
    if data.validation:
        head, thresholds, validation = fit_rules(
            backbone, config, head, data.validation, tokens_per_batch=tokens_per_batch
        )
    else:
        left_out = [[row] for row in fitted.left_out.astype(np.float32)]
        head, thresholds = with_thresholds(config, head, data.train, left_out)
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
