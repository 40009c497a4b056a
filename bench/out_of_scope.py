"""How well texts outside of a task's labels are told from those inside.

    python -m bench.out_of_scope --data DIR --work FOLDER --output FILE

DIR has one folder per set with train.jsonl, validation.jsonl, test.jsonl and labels.json. No row of
a held-out label is in the training or in the calibration. A prefix is trained with the default
recipe and kept in FOLDER, so that a second run does not train again. Sets that FILE has are not
measured again.

The figures are the area under the ROC curve, and the share of out-of-scope texts that are rejected
by the cutoff that keeps 95 % of the validation rows. Texts of other sets are out of scope, too.
Scores were chosen by `--part validation`; test rows are for the figures that are published.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.metrics import roc_auc_score
from transformers.utils import logging as transformers_logging

from bench import origin
from bench.labeled_rows import Rows, labels_of, read_rows, write_rows
from prefixes import Prefix
from prefixes.answers import energy_scores, nearest_distances, rejection_scores
from prefixes.backbone import Backbone, load_backbone
from training.data.parts import load_task
from training.examples import Input
from training.learning.evaluate import features_of
from training.results.rejection import cutoff_of, fit_rejection
from training.sessions.session import run_plan
from training.settings.config import TrainConfig
from training.settings.plan import TrainPlan

Floats = NDArray[np.float64]

SETS: Final = ("clinc150", "banking77", "trec", "sms_spam")
FOREIGN: Final = (*SETS, "sst2", "ag_news")
KEPT: Final = 0.95
_FOREIGN_ROWS: Final = 200
_PARTS: Final = ("train", "validation", "test")


def main() -> None:
    """Measure the sets that the output lacks, and print the table of all."""
    arguments = _arguments()
    transformers_logging.disable_progress_bar()
    backbone = load_backbone("minilm", device="cpu")
    output: Path = arguments.output
    done = json.loads(output.read_text("utf-8")) if output.exists() else {}
    for name in arguments.sets:
        if name not in done:
            done[name] = _Bench(arguments.data, arguments.work, name, arguments.part).run(backbone)
            output.write_text(json.dumps(done, indent=1) + "\n", encoding="utf-8")
    Console(width=140).print(_table(done))


class _Bench:
    """One set: its rows in scope in files of their own, and the held-out and foreign texts."""

    def __init__(self, data: Path, work: Path, name: str, part: str) -> None:
        self._data = data
        self._folder = work / name
        self._part = part
        self._name = name
        held_out = _held_out(name, labels_of(data / name))
        for part_name in _PARTS:
            inside = [row for row in self._rows(name, part_name) if row["label"] not in held_out]
            kept = ({"text": row["text"], "label": row["label"]} for row in inside)
            write_rows(kept, self._file(part_name))
        self._outside = [row for row in self._rows(name, part) if row["label"] in held_out]
        files = {part_name: self._file(part_name) for part_name in _PARTS}
        self._config = TrainConfig(task=f"bench/{name.replace('_', '-')}", method="prefix", **files)

    def run(self, backbone: Backbone) -> dict[str, Any]:
        """Train unless a prefix is there, fit the rule, and measure it and its parts."""
        prefix = self._prefix()
        data = load_task(self._config)
        fitted, report = fit_rejection(backbone, prefix, data, KEPT, tokens_per_batch=4096)
        assert report.rule is not None

        def scores(inputs: Sequence[Input]) -> dict[str, Floats]:
            encoded = backbone.texts.encode(prefix.spec, inputs)
            return _scores(fitted, features_of(backbone, prefix, encoded, tokens_per_batch=4096))

        calibration, test = scores(data.validation.inputs), scores(self._test_inputs())
        inside = calibration if self._part == "validation" else test
        outside = {kind: scores(_inputs(rows)) for kind, rows in self._kinds().items() if rows}
        return {
            **origin.facts(torch.get_num_threads()),
            "part": self._part,
            "labels": prefix.spec.num_labels,
            "rows": {"inside": len(next(iter(inside.values()))), "held out": len(self._outside)},
            "scores": {
                score: _figures(
                    cutoff_of(calibration[score], KEPT),
                    inside[score],
                    test[score],
                    {kind: found[score] for kind, found in outside.items()},
                )
                for score in calibration
            },
        }

    def _prefix(self) -> Prefix:
        path = self._folder / "prefix.safetensors"
        if not path.exists():
            plan = TrainPlan(runs=(self._config,), backbone="minilm", device="cpu")
            (trained,) = run_plan(plan, self._folder / "training", watch=lambda _: None)
            path.write_bytes(trained.finished.data)
        return Prefix.load(path)

    def _test_inputs(self) -> Sequence[Input]:
        data = load_task(self._config)
        assert data.test is not None
        return data.test.inputs

    def _kinds(self) -> dict[str, Rows]:
        """Return the texts that are out of scope: held-out labels, and texts of other sets."""
        others = (name for name in FOREIGN if name != self._name)
        return {"held out": self._outside} | {name: self._sample(name) for name in others}

    def _sample(self, name: str) -> Rows:
        rows = self._rows(name, self._part)
        chosen = np.random.default_rng(1).permutation(len(rows))[:_FOREIGN_ROWS]
        return [rows[place] for place in chosen]

    def _rows(self, name: str, part: str) -> Rows:
        return read_rows(self._data / name / f"{part}.jsonl")

    def _file(self, part: str) -> Path:
        return self._folder / f"{part}.jsonl"


def _held_out(name: str, labels: Sequence[str]) -> set[str]:
    """Return CLINC150's own label, every fourth of Banking77, one of TREC, and none of two."""
    chosen = {"clinc150": ["oos"], "banking77": labels[::4], "trec": ["LOC"]}
    return set(chosen.get(name, ()))


def _inputs(rows: Rows) -> list[Input]:
    return [{"text": row["text"]} for row in rows]


def _scores(prefix: Prefix, features: NDArray[np.float32]) -> dict[str, Floats]:
    """Score features `[n, hidden]` with the rule of a prefix, its parts, and usual baselines."""
    rule = prefix.spec.rejection
    assert rule is not None
    assert rule.projection is not None
    assert rule.centers is not None
    weight, bias = (prefix.tensors[f"head.output.{part}"] for part in ("weight", "bias"))
    logits = features.astype(np.float64) @ weight.T + bias
    projected = features @ rule.projection.matrix
    energies = energy_scores(logits)
    return {
        "maximum probability": np.exp(logits.max(axis=1) - energies),
        "maximum logit": logits.max(axis=1),
        "energy": energies,
        "distance": -nearest_distances(projected, rule.centers.matrix),
        "energy and distance": rejection_scores(rule, logits, projected),
    }


def _figures(
    cutoff: float, inside: Floats, test: Floats, outside: Mapping[str, Floats]
) -> dict[str, Any]:
    return {
        "kept": float((test >= cutoff).mean()),
        **{
            kind: {"auroc": _auroc(inside, scores), "rejected": float((scores < cutoff).mean())}
            for kind, scores in outside.items()
        },
    }


def _auroc(inside: Floats, outside: Floats) -> float:
    truths = np.repeat([1, 0], [len(inside), len(outside)])
    return float(roc_auc_score(truths, np.concatenate([inside, outside])))


def _table(done: Mapping[str, Any]) -> Table:
    table = Table(title="AUROC / share of out-of-scope texts rejected")
    for column in ("set", "score", "in-scope kept", "held out", "other sets, mean"):
        table.add_column(column)
    for name, found in done.items():
        for score, figures in found["scores"].items():
            kinds = {kind: value for kind, value in figures.items() if kind != "kept"}
            own = kinds.pop("held out", None)
            means = {key: _mean(kinds, key) for key in ("auroc", "rejected")}
            table.add_row(name, score, f"{figures['kept']:.3f}", _cell(own), _cell(means))
    return table


def _mean(kinds: Mapping[str, Mapping[str, float]], key: str) -> float:
    return float(np.mean([one[key] for one in kinds.values()]))


def _cell(figures: Mapping[str, float] | None) -> str:
    return "" if figures is None else f"{figures['auroc']:.4f} / {figures['rejected']:.3f}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder of trained prefixes")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--part", choices=["validation", "test"], default="test")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to add to")
    return parser.parse_args()


if __name__ == "__main__":
    main()
