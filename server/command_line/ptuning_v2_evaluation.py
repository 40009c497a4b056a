"""`--do-eval` and `--do-predict` of `run.py`: a prefix file on the parts of a dataset."""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from prefixes import Prefix
from prefixes.answers import find_answers, whole_texts
from prefixes.atomic import write_atomically
from prefixes.backbone import Backbone, load_backbone
from prefixes.lengths import AS_SERVED
from server.command_line.ptuning_v2_settings import Part
from training.data.parts import load_examples, load_inputs
from training.data.reading import read_part
from training.datasets import CANDIDATE, dataset_named
from training.errors import PlanRejected
from training.examples import Columns
from training.files.rows import Row
from training.learning.evaluate import as_learned, evaluate, merged_outputs
from training.sessions.files import PREFIX_FILE
from training.sessions.fine_tuning_session import MODEL_FOLDER
from training.settings.plan import TrainPlan
from training.tasks import definition_of

_BACKBONE_FIELDS: Final = (
    "backbone", "device", "dtype", "linear_kernel", "attention_kernel", "tokens_per_batch",
)  # fmt: skip


def use_parts(
    parts: Sequence[Part], folder: Path, flags: Mapping[str, Any], *, n_best: int
) -> None:
    """Measure the validation rows, or predict the test rows, with the prefix file of a folder.

    Writes `eval_results.json` for validation rows. For each test part, it writes
    `PART_predictions.jsonl`; for those with labels, metrics in `predict_results.json`. If rows
    propose answers to queries, `PART_answers.jsonl` has the best answer to each query.

    Args:
        parts: the rows.
        folder: the folder that `train` wrote the prefix file to. The results go there too.
        flags: flags of the command line, merged over the settings of a recipe.
        n_best: number of answers to write per question.

    Raises:
        TrainingError: for problems of the rows, or when there is no prefix file.
        PrefixError: when the file or the backbone is rejected.
    """
    file = folder / PREFIX_FILE
    if not file.is_file():
        raise PlanRejected(_absence(folder))
    loaded = _LoadedPrefix.load(file, flags, n_best)
    results: dict[str, Any] = {}
    for part in parts:
        if part.name != "validation":
            rows = read_part(part.source, part.dataset).rows[: part.max_rows]
            lines = list(loaded.predictions(part, rows))
            _write_lines(folder / f"{part.name}_predictions.jsonl", lines)
            if rows and CANDIDATE in rows[0].columns:
                _write_lines(folder / f"{part.name}_answers.jsonl", _answers(rows, lines))
        if part.name == "validation" or _is_labeled(part):
            results[part.name] = loaded.measure(part)
    validation = results.pop("validation", None)
    if validation is not None:
        _write(folder / "eval_results.json", validation)
    if results:
        _write(folder / "predict_results.json", results)


def _absence(folder: Path) -> str:
    """Describe why a folder has no prefix file."""
    if not (folder / MODEL_FOLDER).is_dir():
        return f"{folder} has no {PREFIX_FILE}. Train it first with --do-train."
    return (
        f"{folder} holds a whole model, of method 'full', but --do-eval and --do-predict need a "
        "prefix file. The model's metrics are in report.json, including those of --test-file. "
        f"Load the model from {folder / MODEL_FOLDER} with transformers' from_pretrained."
    )


@dataclass(frozen=True, slots=True, eq=False)
class _LoadedPrefix:
    """A prefix on its backbone, with the settings to run it."""

    backbone: Backbone
    prefix: Prefix
    tokens_per_batch: int
    n_best: int

    @classmethod
    def load(cls, file: Path, flags: Mapping[str, Any], n_best: int) -> Self:
        """Load a prefix file, and the backbone that flags, a recipe or the defaults name."""
        place = {
            name: flags.get(name, TrainPlan.model_fields[name].default) for name in _BACKBONE_FIELDS
        }
        tokens = int(place.pop("tokens_per_batch"))
        backbone = load_backbone(place.pop("backbone"), **place)
        return cls(backbone, Prefix.load(file, fits=[backbone.fingerprint]), tokens, n_best)

    def measure(self, part: Part) -> dict[str, Any]:
        examples = load_examples(part.source, self.prefix.spec, Columns())
        examples = as_learned(self.backbone, self.prefix, examples)
        if part.max_rows is not None:
            examples = examples.take(range(min(part.max_rows, len(examples))))
        tokens = self.tokens_per_batch
        measurement = evaluate(self.backbone, self.prefix, examples, tokens_per_batch=tokens)
        return {"rows": len(examples), **measurement.metrics}

    def predictions(self, part: Part, rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
        """Return for each row its number in the dataset, its texts and the prediction."""
        spec = self.prefix.spec
        inputs = load_inputs(part.source, spec, Columns())[: part.max_rows]
        windows = self.backbone.texts.encode(spec, inputs, lengths=AS_SERVED)
        encoded = list(map(whole_texts, windows))
        outputs = merged_outputs(
            self.backbone,
            self.prefix,
            windows,
            tokens_per_batch=self.tokens_per_batch,
            with_projected=True,
        )
        for row, fields, texts, values in zip(rows, inputs, encoded, outputs, strict=True):
            numbers = {name: row.columns[name] for name in ("id", "idx") if name in row.columns}
            answer = definition_of(spec.task_type).answer(spec, fields, texts, values)
            line = {**numbers, **fields, **answer}
            if spec.sliced_field is not None and spec.answers is not None:
                context = str(fields[spec.sliced_field])
                best = find_answers(spec, context, texts, values, top_k=self.n_best)
                line["best"] = [dataclasses.asdict(one) for one in best]
            yield line


def _answers(rows: Sequence[Row], lines: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Return for each query the candidate with the highest score."""
    best: dict[str, dict[str, Any]] = {}
    for row, line in zip(rows, lines, strict=True):
        candidate = row.columns[CANDIDATE]
        score = line["scores"]["1"]
        leader = best.get(candidate["query"])
        if leader is None or (score, candidate["text"]) > (leader["score"], leader["label"]):
            found = {"idx": line.get("idx"), "label": candidate["text"], "score": score}
            best[candidate["query"]] = found
    yield from best.values()


def _is_labeled(part: Part) -> bool:
    label = dataset_named(part.dataset).label
    return all(label in row.columns for row in read_part(part.source, part.dataset).rows)


def _write_lines(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    write_atomically(path, text)


def _write(path: Path, results: Mapping[str, Any]) -> None:
    write_atomically(path, json.dumps(results, indent=1) + "\n")
