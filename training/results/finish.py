"""Turns the best prefix of a run into a file that is calibrated, measured and checked."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pydantic import JsonValue

from prefixes import Prefix, Provenance, digest_of
from prefixes.answers.statistics import count_answers
from prefixes.backbone import Backbone
from prefixes.spec import Decisions
from training.examples import Examples, TaskData
from training.learning.evaluate import evaluate, served_outputs
from training.results.calibration import calibrate
from training.results.golden import golden_examples, replay
from training.results.rejection import FittedRejection, fit_rejection
from training.results.thresholds import FittedThresholds, fit_thresholds
from training.settings.config import TrainConfig
from training.settings.threshold_target import ThresholdTarget
from training.settings.train_settings import PATH_FIELDS
from training.tasks import Outputs, definition_of
from training.tasks.metrics import Measurement


@dataclass(frozen=True, slots=True, eq=False)
class FinishedPrefix:
    """The bytes of a prefix file, the prefix in them, and its metrics.

    `temperature` is the divisor of its outputs, already applied in the file; None for tasks without
    probabilities. `validation` is empty for a head that was computed from labels alone. If
    `is_cross_validated`, it measures the training rows, each with a head that did not see it.
    `thresholds` and `rejection` are None unless the settings ask for them.
    """

    prefix: Prefix
    data: bytes
    validation: Measurement
    test: Measurement | None
    temperature: float | None
    is_cross_validated: bool = False
    thresholds: FittedThresholds | None = None
    rejection: FittedRejection | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Everything doubtful about what was fitted on the validation rows."""
        fitted = (one for one in (self.thresholds, self.rejection) if one is not None)
        return tuple(warning for one in fitted for warning in one.warnings)

    @property
    def digest(self) -> str:
        return digest_of(self.data)


def finish(
    backbone: Backbone,
    config: TrainConfig,
    data: TaskData,
    best: Prefix,
    *,
    tokens_per_batch: int,
    now: datetime | None = None,
    origins: Mapping[str, JsonValue] | None = None,
) -> FinishedPrefix:
    """Calibrate a folded prefix, make its file, and compare it with what is read back.

    `origins` are stored in its provenance with the settings: how these were found, for example.

    Raises:
        PrefixRejected: when the bytes do not read back as a prefix for this backbone that gives
            the logits of its golden examples.
    """
    calibrated = calibrate(backbone, best, data.validation, tokens_per_batch=tokens_per_batch)
    folded = in_type(calibrated.prefix if calibrated else best, config.file_dtype)
    folded, thresholds, validation = fit_rules(
        backbone, config, folded, data.validation, tokens_per_batch=tokens_per_batch
    )
    test = (
        None
        if data.test is None
        else evaluate(backbone, folded, data.test, tokens_per_batch=tokens_per_batch)
    )
    rejection = None
    if config.reject is not None:
        # Last, because its projected features follow the outputs.
        folded, rejection = fit_rejection(
            backbone, folded, data, config.reject, tokens_per_batch=tokens_per_batch
        )
    temperature = calibrated.temperature if calibrated else None
    prefix, written = write_prefix(
        backbone,
        config,
        data,
        folded,
        measurements={"validation": validation, "test": test},
        temperature=temperature,
        now=now,
        origins=origins,
    )
    return FinishedPrefix(
        prefix,
        written,
        validation,
        test,
        temperature,
        thresholds=thresholds,
        rejection=rejection,
    )


def fit_rules(
    backbone: Backbone,
    config: TrainConfig,
    prefix: Prefix,
    rows: Examples[Any],
    *,
    tokens_per_batch: int,
) -> tuple[Prefix, FittedThresholds | None, Measurement]:
    """Measure a prefix on validation rows, with thresholds if the settings ask for them.

    Returns:
        The prefix with its thresholds and the distribution of its answers, the thresholds, and the
        measurement with them.
    """
    # Neither thresholds nor statistics change outputs, so the rows run once.
    encoded, outputs = served_outputs(backbone, prefix, rows, tokens_per_batch=tokens_per_batch)
    prefix, thresholds = with_thresholds(config, prefix, rows, outputs)
    spec = prefix.spec
    measured = definition_of(spec.task_type).measure(spec, rows, encoded, outputs)
    unknown = backbone.texts.unknown_token
    reference = count_answers(spec, encoded, outputs, unknown_token=unknown)
    decisions = (spec.decisions or Decisions()).model_copy(update={"reference": reference})
    described = spec.model_copy(update={"decisions": decisions})
    return dataclasses.replace(prefix, spec=described), thresholds, measured


def with_thresholds(
    config: TrainConfig, prefix: Prefix, rows: Examples[Any], outputs: Sequence[Outputs]
) -> tuple[Prefix, FittedThresholds | None]:
    """Fit thresholds on the outputs of rows if the settings ask for them."""
    if config.threshold is None:
        return prefix, None
    return fit_thresholds(prefix, rows, outputs, ThresholdTarget.parse(config.threshold))


def write_prefix(
    backbone: Backbone,
    config: TrainConfig,
    data: TaskData,
    prefix: Prefix,
    *,
    measurements: Mapping[str, Measurement | None],
    temperature: float | None,
    now: datetime | None = None,
    origins: Mapping[str, JsonValue] | None = None,
) -> tuple[Prefix, bytes]:
    """Write the file of a calibrated prefix, and compare it with what is read back.

    `measurements` are stored by the name of what was measured. Golden examples are validation rows,
    or training rows if there are no others.

    Raises:
        PrefixRejected: as `finish`.
    """
    metrics = {
        f"{part}_{name}": value
        for part, measured in measurements.items()
        for name, value in (measured.metrics if measured else {}).items()
    }
    rows = data.validation or data.train
    spec = prefix.spec.model_copy(
        update={
            "provenance": _provenance(config, data, now or datetime.now(UTC), origins or {}),
            "metrics": metrics | ({} if temperature is None else {"temperature": temperature}),
            "golden": golden_examples(backbone, config, prefix, data.template, rows),
        }
    )
    written = dataclasses.replace(prefix, spec=spec).to_bytes()
    read = Prefix.from_bytes(written, fits=[backbone.fingerprint])
    replay(backbone, read)
    return read, written


def in_type(prefix: Prefix, dtype: str) -> Prefix:
    """Convert the tensors of a prefix to a number type."""
    return Prefix(prefix.spec, {name: x.astype(dtype) for name, x in prefix.tensors.items()})


def _provenance(
    config: TrainConfig, data: TaskData, now: datetime, origins: Mapping[str, JsonValue]
) -> Provenance:
    recipe: dict[str, JsonValue] = config.model_dump(mode="json", exclude=set(PATH_FIELDS))
    return Provenance(
        created_at=now,
        tool=tool_name(),
        data_sha256=data.sha256 or None,
        train_rows=len(data.train),
        recipe={**recipe, **origins},
    )


def tool_name() -> str:
    """Return the name and the version of this program."""
    try:
        return f"polyprefix {version('polyprefix')}"
    except PackageNotFoundError:  # run from a checkout that was not installed
        return "polyprefix from source"
