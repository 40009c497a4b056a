"""The original's evaluation and prediction: a prefix file over the parts of a published set."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from prefixes import Prefix
from prefixes.answers import find_answers
from prefixes.backbone import Backbone, load_backbone
from training.data import load_examples, load_inputs, read_part
from training.datasets import dataset_named
from training.errors import PlanRejected
from training.evaluate import evaluate, outputs_of
from training.examples import Columns
from training.original_flags import OriginalFlags
from training.plan import TrainPlan
from training.session import PREFIX_FILE
from training.tasks import KINDS


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows to use a prefix on, the first of them where there is a bound."""

    name: str
    source: Path
    dataset: str
    most: int | None

    def is_labelled(self) -> bool:
        label = dataset_named(self.dataset).label
        return all(label in row.columns for row in read_part(self.source, self.dataset).rows)


def use_parts(
    original: OriginalFlags, dataset: str | None, folder: Path, flags: Mapping[str, Any]
) -> None:
    """Measure the validation rows, or predict the test rows, with the prefix file of a folder.

    Writes `eval_results.json` or, for each test part, `PART_predictions.jsonl`, and
    `predict_results.json` with the figures of those that have labels.

    Args:
        original: says what to do, and with how many rows.
        dataset: the set, as FAMILY/NAME.
        folder: where `train` has written the prefix file, and where the results go.
        flags: of the command line, over those of a recipe.

    Raises:
        TrainingError: for problems of the rows, or when a part is not there.
        PrefixError: when the file or the backbone is refused.
    """
    if dataset is None:
        raise PlanRejected(
            "--do-eval and --do-predict are for a set that --task and --dataset name: use "
            "`polyprefix evaluate` and `polyprefix predict` for any other rows"
        )
    parts = _parts(original, dataset, flags)
    file = folder / PREFIX_FILE
    if not file.is_file():
        raise PlanRejected(f"{folder} has no {PREFIX_FILE}: train with --do-train first")
    user = _User.load(file, flags, original.n_best_size)
    results: dict[str, Any] = {}
    for part in parts:
        if part.name != "validation":
            lines = (json.dumps(line, ensure_ascii=False) for line in user.predictions(part))
            predicted = "".join(f"{line}\n" for line in lines)
            (folder / f"{part.name}_predictions.jsonl").write_text(predicted, encoding="utf-8")
        if part.is_labelled():
            results[part.name] = user.measured(part)
    validation = results.pop("validation", None)
    if validation is not None:
        _write(folder / "eval_results.json", validation)
    if results:
        _write(folder / "predict_results.json", results)


@dataclass(frozen=True, slots=True, eq=False)
class _User:
    """A prefix on its backbone, and how it is used."""

    backbone: Backbone
    prefix: Prefix
    tokens_per_batch: int
    n_best: int

    @classmethod
    def load(cls, file: Path, flags: Mapping[str, Any], n_best: int) -> Self:
        """Load a prefix file and the backbone that flags, a recipe or our defaults name."""
        place = {
            name: flags.get(name, TrainPlan.model_fields[name].default)
            for name in ("backbone", "device", "dtype", "tokens_per_batch")
        }
        tokens = int(place.pop("tokens_per_batch"))
        backbone = load_backbone(place.pop("backbone"), **place)
        return cls(backbone, Prefix.load(file, fits=backbone.fingerprint), tokens, n_best)

    def measured(self, part: _Part) -> dict[str, Any]:
        examples = load_examples(part.source, self.prefix.spec, Columns())
        if part.most is not None:
            examples = examples.take(range(min(part.most, len(examples))))
        tokens = self.tokens_per_batch
        measurement = evaluate(self.backbone, self.prefix, examples, tokens_per_batch=tokens)
        return {"rows": len(examples), **measurement.metrics}

    def predictions(self, part: _Part) -> Iterator[dict[str, Any]]:
        """Say of each row its number in the set, its texts, and what the prefix makes of them."""
        spec = self.prefix.spec
        rows = read_part(part.source, part.dataset).rows[: part.most]
        inputs = load_inputs(part.source, spec, Columns())[: part.most]
        encoded = self.backbone.texts.encode(spec, inputs)
        outputs = outputs_of(
            self.backbone, self.prefix, encoded, tokens_per_batch=self.tokens_per_batch
        )
        for row, fields, texts, values in zip(rows, inputs, encoded, outputs, strict=True):
            numbers = {name: row.columns[name] for name in ("id", "idx") if name in row.columns}
            answer = KINDS[spec.task_type].answer(spec, fields, texts, values)
            line = {**numbers, **fields, **answer}
            if spec.sliced_field is not None and spec.answers is not None:
                context = str(fields[spec.sliced_field])
                best = find_answers(spec, context, texts, values, top_k=self.n_best)
                line["best"] = [dataclasses.asdict(one) for one in best]
            yield line


def _parts(original: OriginalFlags, name: str, flags: Mapping[str, Any]) -> list[_Part]:
    dataset = dataset_named(name)
    sources = original.sources(dataset, flags)
    tests = [part for part in dataset.tests if part in sources]
    wanted = []
    if original.do_eval and not original.trains:
        wanted.append(("validation", original.max_eval_samples))
    if original.do_predict:
        # A file that --test-file names has no part of its own where a set has several.
        named = tests or ["test"]
        wanted += [(part, original.max_predict_samples) for part in named]
    missing = [part for part, _ in wanted if part not in sources]
    if missing:
        raise PlanRejected(f"{name} has no {missing[0]} rows here: name a file of them")
    return [_Part(part, Path(sources[part]), name, most) for part, most in wanted]


def _write(path: Path, results: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
