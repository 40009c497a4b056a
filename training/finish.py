"""From the best learner to a prefix file that is measured, checked and replayed."""

import dataclasses
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import numpy as np
from pydantic import JsonValue

from prefixes import GoldenExample, Prefix, PrefixRejected, Provenance, digest_of
from prefixes.backbone import Backbone, replay_findings
from training.config import TrainConfig
from training.data import LabelledTexts, TaskData
from training.evaluate import evaluate, logits_of
from training.metrics import Measurement

_PATHS: Final = {"train", "validation", "test"}


@dataclass(frozen=True, slots=True, eq=False)
class FinishedPrefix:
    """A prefix file's bytes, what they say, and how the prefix in them measures."""

    prefix: Prefix
    data: bytes
    validation: Measurement
    test: Measurement | None

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
) -> FinishedPrefix:
    """Make the file of a folded prefix, and hold what can be read from it against what went in.

    Raises:
        PrefixRejected: when the bytes do not read back as a prefix for this backbone that gives
            the logits of its golden examples.
    """
    folded = _in_type(best, config.file_dtype)
    validation, test = (
        None
        if texts is None
        else evaluate(backbone, folded, texts, tokens_per_batch=tokens_per_batch)
        for texts in (data.validation, data.test)
    )
    assert validation is not None
    spec = folded.spec.model_copy(
        update={
            "provenance": _provenance(config, data, now or datetime.now(UTC)),
            "metrics": {
                **{f"validation_{name}": value for name, value in validation.metrics.items()},
                **{f"test_{name}": value for name, value in (test.metrics if test else {}).items()},
            },
            "golden": _golden(backbone, folded, data.validation, config.golden_examples),
        }
    )
    written = dataclasses.replace(folded, spec=spec).to_bytes()
    prefix = Prefix.from_bytes(written, fits=backbone.fingerprint)
    replay(backbone, prefix)
    return FinishedPrefix(prefix, written, validation, test)


def replay(backbone: Backbone, prefix: Prefix) -> None:
    """Compute the golden examples again.

    Raises:
        PrefixRejected: naming each example whose logits are others than the file says.
    """
    if not prefix.spec.golden:
        return
    fields = [example.fields for example in prefix.spec.golden]
    texts = [text for (text,) in backbone.texts.encode(prefix.spec, fields)]
    logits = logits_of(backbone, prefix, texts, tokens_per_batch=1)
    findings = replay_findings(prefix.spec, list(logits), backbone.dtype)
    if findings:
        raise PrefixRejected(findings)


def _in_type(prefix: Prefix, dtype: str) -> Prefix:
    return Prefix(prefix.spec, {name: x.astype(dtype) for name, x in prefix.tensors.items()})


def _provenance(config: TrainConfig, data: TaskData, now: datetime) -> Provenance:
    recipe: dict[str, JsonValue] = config.model_dump(mode="json", exclude=_PATHS)
    return Provenance(
        created_at=now,
        tool=f"polyprefix {_version()}",
        data_sha256=data.sha256,
        train_rows=len(data.train),
        recipe=recipe,
    )


def _version() -> str:
    try:
        return version("polyprefix")
    except PackageNotFoundError:  # run from a checkout that was not installed
        return "from source"


def _golden(
    backbone: Backbone, prefix: Prefix, texts: LabelledTexts, count: int
) -> tuple[GoldenExample, ...]:
    """Choose validation inputs of as many different targets as there are, with their logits."""
    chosen = texts.take(_spread(texts.targets, count))
    if not len(chosen):
        return ()
    encoded = [text for (text,) in backbone.texts.encode(prefix.spec, chosen.inputs)]
    logits = logits_of(backbone, prefix, encoded, tokens_per_batch=1)
    return tuple(
        GoldenExample(fields=dict(fields), logits=tuple(map(float, row)))
        for fields, row in zip(chosen.inputs, logits, strict=True)
    )


def _spread(targets: Any, count: int) -> list[int]:
    """List `count` rows, the first of every target before the second of any."""
    _, kinds = np.unique(targets, axis=0, return_inverse=True)
    seen: dict[int, int] = {}
    turns = []
    for row, kind in enumerate(kinds.ravel().tolist()):
        seen[kind] = seen.get(kind, 0) + 1
        turns.append((seen[kind], row))
    return [row for _, row in sorted(turns)[:count]]
