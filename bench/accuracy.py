"""Accuracy of prefixes compared with full fine-tuning and PEFT's prefixes, on the same rows.

    python -m bench.accuracy --data DIR --tasks trec sst2 --rows 2000 --output FILE

DIR has one folder per task with train.jsonl, validation.jsonl, test.jsonl and labels.json. The
best step or epoch on the validation rows counts. Prefixes and vectors of the norms use the default
recipe. The other methods try all settings of their grids with the first seed; the other seeds use
those that are best on the validation rows. The methods see the rows equally often, except that
fine-tuning also tries three times as many epochs where these add steps. A few-shot head is computed
only with `--methods few_shot`. `--settings-from` uses the best settings of another file instead.

Figures are those of the test file. For sets without a test file, they are those of the validation
file, and a tenth of the training rows is held out for validation. Runs in FILE are not repeated.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, get_args

from rich.console import Console
from transformers.utils import logging as transformers_logging

from bench.kernels import KernelSettings, add_options
from bench.labeled_rows import task_settings
from bench.methods import METHODS, Dtype, Place, Settings, distinct_settings
from bench.report import requirements, table
from bench.scores import Scores, best_settings, summary
from training.settings.config import TrainConfig

COMPARED: Final = ("prefix", "vectors", "fine-tuning", "PEFT")
"""The methods by default. Few-shot heads do not support all task types."""

TASKS: Final = ("trec", "sst2", "ag_news", "banking77", "mrpc", "tweeteval_emotion")


def main() -> None:
    """Run the missing runs, and print the summary of all."""
    arguments = _arguments()
    console = Console()
    transformers_logging.disable_progress_bar()
    scores = Scores(arguments.output, arguments.device)
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "kernels.json"
        kernels = KernelSettings(arguments.linear_kernel, arguments.attention_kernel, cache)
        place = Place(arguments.backbone, arguments.device, arguments.dtype, kernels)
        chosen = Scores(arguments.settings_from) if arguments.settings_from else None
        bench = _Bench(scores, place, console.print, chosen=chosen)
        for task in arguments.tasks:
            configs = [_config(arguments, task, seed, Path(folder)) for seed in arguments.seeds]
            for method in arguments.methods:
                bench.measure(task, method, configs)
    figures = list(summary(scores, arguments.tasks, arguments.seeds))
    console.print(table(figures))
    console.print(requirements(figures))


class _Bench:
    """Runs the methods that a file of scores lacks."""

    def __init__(
        self,
        scores: Scores,
        place: Place,
        report: Callable[[str], None],
        *,
        chosen: Scores | None = None,
    ) -> None:
        self._scores = scores
        self._place = place
        self._report = report
        self._chosen = chosen

    def measure(self, task: str, method: str, configs: Sequence[TrainConfig]) -> None:
        """Try all settings with the first seed, then the best of them with the others."""
        grid = self._grid(task, method, configs[0])
        for settings in grid:
            self._learn(task, method, configs if len(grid) == 1 else configs[:1], settings)
        chosen = best_settings(self._scores.of(task, method), configs[0].seed)
        self._learn(task, method, configs, chosen)

    def _grid(self, task: str, method: str, config: TrainConfig) -> Sequence[Settings]:
        """Return the settings to try: those of the method, or the one that another file chose."""
        grid = METHODS[method].grid
        if self._chosen is not None and len(grid) > 1:
            found = self._chosen.of(task, method)
            if not any(one.seed == config.seed for one in found):
                raise SystemExit(
                    f"--settings-from has no run of {task}, {method} with seed {config.seed}"
                )
            return [best_settings(found, config.seed)]
        return distinct_settings(grid, config.max_rows)

    def _learn(
        self, task: str, method: str, configs: Sequence[TrainConfig], settings: Settings
    ) -> None:
        found = self._scores.of(task, method)
        done = {one.seed for one in found if one.settings == settings}
        missing = [one for one in configs if one.seed not in done]
        if not missing:
            return
        learn = METHODS[method].learn
        for score in learn(missing, self._place, settings, self._report):
            self._scores.add(score)
            self._report(f"{task} {method} {dict(settings)} seed {score.seed}: {score.test}")


def _config(arguments: argparse.Namespace, task: str, seed: int, scratch: Path) -> TrainConfig:
    folder = arguments.data / task
    files = {name: folder / f"{name}.jsonl" for name in ("train", "validation", "test")}
    if not files["test"].exists():
        files["test"] = files.pop("validation")
    if task == "copa":
        files = {name: _with_connectives(path, scratch / task) for name, path in files.items()}
    return TrainConfig(
        task=f"bench/{task.replace('_', '-')}",
        max_rows=arguments.rows,
        evaluate_every=arguments.evaluate_every,
        seed=seed,
        **files,
        **task_settings(folder),
    )


def _with_connectives(path: Path, folder: Path) -> Path:
    """Append "because" or "so" to COPA's premises, by the question, as in P-tuning v2."""
    folder.mkdir(exist_ok=True)
    target = folder / path.name
    with path.open(encoding="utf-8") as rows, target.open("w", encoding="utf-8") as out:
        for line in rows:
            row = json.loads(line)
            connective = "because" if row["question"] == "cause" else "so"
            row = {**row, "text": f"{row.pop('text_a')} {connective}"}
            out.write(json.dumps(row) + "\n")
    return target


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=COMPARED)
    parser.add_argument("--rows", type=int, help="size of the sample to train on")
    parser.add_argument(
        "--evaluate-every", type=int, help="steps between evaluations: one epoch by default"
    )
    parser.add_argument(
        "--settings-from",
        type=Path,
        help="file of runs whose best settings are used, in place of trying all again",
    )
    parser.add_argument("--backbone", default="minilm")
    parser.add_argument("--device", default="auto", help="cpu, cuda, ...")
    parser.add_argument("--dtype", choices=get_args(Dtype), default="float32")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    add_options(parser)
    parser.add_argument("--output", type=Path, required=True, help="JSON file of runs to append to")
    return parser.parse_args()


if __name__ == "__main__":
    main()
