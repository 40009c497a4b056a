"""Accuracy on long texts: truncated, and in windows merged by mean, max and first.

    python -m bench.long_texts --data DIR --work FOLDER --output FILE

DIR is that of `bench.accuracy`. It has no classification whose texts exceed 256 tokens and that
this backbone learns. Documents are therefore made from test rows (`bench.long_documents`), and
tasks that were trained on short texts get a lower maximum length:

- banking77, sms_spam: the example prefixes, 64 tokens.
- ag_news: a head computed from 256 rows, 32 tokens. Test rows as they are.
- mit_movie: a head for the types of entities in a text, computed from 768 rows, with thresholds
  for the best F1, 32 tokens.
- conll04: a head for entities, trained for four epochs with `--method head`, 256 tokens. It is kept
  in FOLDER, so that a second run does not train again.

Windows overlap by a quarter of the maximum length. Costs are the processor's time for one pass over
all documents, which other programs on the machine hardly change. Sets that FILE has are not
measured again.
"""

import argparse
import dataclasses
import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from transformers.utils import logging as transformers_logging

from bench import origin
from bench.labeled_rows import (
    Rows,
    entity_types,
    labels_of,
    read_rows,
    with_entity_types,
    write_rows,
)
from bench.long_documents import (
    Documents,
    as_they_are,
    neutral_documents,
    of_all_labels,
    of_one_label,
    tagged_at_end,
)
from prefixes import Prefix
from prefixes.backbone import Backbone, load_backbone
from prefixes.lengths import LengthOptions
from training.data.encoding import encode_rows
from training.data.few_rows import load_few_rows
from training.data.parts import load_examples
from training.examples import Columns, Examples
from training.few_shot.finish import finish_head
from training.few_shot.fit import fit
from training.learning.evaluate import merged_outputs
from training.sessions.session import run_plan
from training.settings.config import TrainConfig
from training.settings.plan import TrainPlan
from training.tasks import definition_of

_EXAMPLES: Final = Path(__file__).parents[1] / "examples" / "prefixes"
_TOKENS_PER_BATCH: Final = 4096
_METRICS: Final = ("entity_f1", "micro_f1", "accuracy")
"""The first one that a task has is reported."""
_COST: Final = "cpu_seconds_per_text"


@dataclass(frozen=True, slots=True)
class Place:
    """A set in the folder of all, a folder for what is made of it, and the loaded backbone."""

    data: Path
    work: Path
    backbone: Backbone
    dtype: str

    def rows(self, part: str) -> Rows:
        return read_rows(self.data / f"{part}.jsonl")

    def settings(self, **settings: Any) -> TrainConfig:
        name = self.data.name.replace("_", "-")
        return TrainConfig.model_validate({"task": f"bench/{name}", **settings})


@dataclass(frozen=True, slots=True)
class LongSet:
    """A task, its maximum length in tokens, and the documents that are made of test rows.

    `change` makes the rows that the documents are made of.
    """

    prefix: Callable[[Place], Prefix]
    max_length: int
    documents: Mapping[str, Documents]
    number: int = 150
    change: Callable[[Rows], Rows] = list


def _example(name: str, _: Place) -> Prefix:
    return Prefix.load(_EXAMPLES / f"{name}.safetensors")


def _computed(settings: Mapping[str, Any], place: Place) -> Prefix:
    config, tokens = place.settings(method="few_shot", **settings), _TOKENS_PER_BATCH
    rows = load_few_rows(config)
    fitted = fit(place.backbone, config, rows, tokens_per_batch=tokens, report=None)
    return finish_head(place.backbone, config, rows, fitted, tokens_per_batch=tokens).prefix


def _news(place: Place) -> Prefix:
    train = place.data / "train.jsonl"
    return _computed({"train": train, "labels": labels_of(place.data), "max_rows": 256}, place)


def _types(place: Place) -> Prefix:
    train = write_rows(with_entity_types(place.rows("train")), place.work / "train.jsonl")
    settings = {
        "train": train,
        "labels": entity_types(labels_of(place.data)),
        "problem_type": "multi_label_classification",
        "max_rows": 768,
        "threshold": "f1",
    }
    return _computed(settings, place)


def _tagger(place: Place) -> Prefix:
    path = place.work / "prefix.safetensors"
    if not path.exists():
        files = {part: place.data / f"{part}.jsonl" for part in ("train", "validation")}
        settings = {"task_type": "token_classification", "method": "head", "min_steps": 1}
        config = place.settings(epochs=4, **settings, **files)
        plan = TrainPlan(runs=(config,), backbone="minilm", device="cpu", dtype=place.dtype)
        (trained,) = run_plan(plan, place.work / "training", watch=lambda _: None)
        path.write_bytes(trained.finished.data)
    return Prefix.load(path)


SETS: Final[Mapping[str, LongSet]] = MappingProxyType(
    {
        "banking77": LongSet(
            partial(_example, "banking"),
            64,
            neutral_documents(sentences=20)
            | {"25 texts of one label": partial(of_one_label, texts=25)},
            number=120,
        ),
        "sms_spam": LongSet(partial(_example, "spam"), 64, neutral_documents(sentences=20)),
        "ag_news": LongSet(_news, 32, {"as they are": as_they_are}, number=500),
        "mit_movie": LongSet(
            _types,
            32,
            {"six texts, labels of all": partial(of_all_labels, texts=6)},
            change=with_entity_types,
        ),
        "conll04": LongSet(
            _tagger,
            256,
            {"60 neutral sentences, then text": partial(tagged_at_end, sentences=60)},
            number=60,
        ),
    }
)


def main() -> None:
    """Measure the sets that the output lacks, and print the table of all."""
    arguments = _arguments()
    transformers_logging.disable_progress_bar()
    backbone = load_backbone("minilm", device="cpu", dtype=arguments.dtype)
    output: Path = arguments.output
    done = json.loads(output.read_text("utf-8")) if output.exists() else {}
    for name in arguments.sets:
        if name not in done:
            place = Place(arguments.data / name, arguments.work / name, backbone, arguments.dtype)
            figures = dict(_figures(SETS[name], place))
            done[name] = {**origin.facts(torch.get_num_threads()), "documents": figures}
            output.write_text(json.dumps(done, indent=1) + "\n", encoding="utf-8")
    Console(width=140).print(_table(done))


def _figures(long: LongSet, place: Place) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the figures of each kind of documents, by how long texts are read."""
    prefix = long.prefix(place)
    spec = prefix.spec.model_copy(update={"max_length": long.max_length})
    prefix = dataclasses.replace(prefix, spec=spec)
    rows = long.change(place.rows("test"))
    for kind, documents in long.documents.items():
        made = itertools.islice(documents(rows, np.random.default_rng(0)), long.number)
        path = write_rows(made, place.work / "documents.jsonl")
        examples = load_examples(path, spec, Columns())
        _measured(place.backbone, prefix, examples.take(range(8)), LengthOptions())  # warm up
        yield (
            kind,
            {
                name: _measured(place.backbone, prefix, examples, lengths)
                for name, lengths in _ways(spec.task_type, long.max_length // 4)
            },
        )


def _ways(task_type: str, stride: int) -> Iterator[tuple[str, LengthOptions]]:
    yield "truncate", LengthOptions(long_text="truncate")
    windows = LengthOptions(long_text="windows", stride=stride)
    if task_type == "token_classification":
        yield "windows", windows
        return
    for merge in ("mean", "max", "first"):
        yield merge, dataclasses.replace(windows, merge=merge)


def _measured(
    backbone: Backbone, prefix: Prefix, examples: Examples[Any], lengths: LengthOptions
) -> dict[str, float]:
    start = time.process_time()
    windows = encode_rows(backbone, prefix.spec, examples, lengths)
    outputs = merged_outputs(backbone, prefix, windows, tokens_per_batch=_TOKENS_PER_BATCH)
    seconds = time.process_time() - start
    definition = definition_of(prefix.spec.task_type)
    metrics = definition.measure(prefix.spec, examples, windows.whole(), outputs).metrics
    metric = next(name for name in _METRICS if name in metrics)
    return {
        metric: metrics[metric],
        "documents": len(examples),
        "windows_per_text": len(windows.texts) / len(examples),
        "tokens_per_text": sum(len(text.token_ids) for text in windows.texts) / len(examples),
        _COST: seconds / len(examples),
    }


def _table(done: Mapping[str, Any]) -> Table:
    table = Table()
    for column in ("set", "documents", "metric", "long texts", "", "windows", "cost"):
        table.add_column(column)
    for name, found in done.items():
        for kind, ways in found["documents"].items():
            for way, figures in ways.items():
                metric = next(one for one in _METRICS if one in figures)
                cost = figures[_COST] / ways["truncate"][_COST]
                numbers = (f"{figures[metric]:.3f}", f"{figures['windows_per_text']:.1f}")
                table.add_row(name, kind, metric, way, *numbers, f"{cost:.2f}")
    return table


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder of documents and prefixes")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--dtype", default="float32", help="float32 or bfloat16")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to add to")
    return parser.parse_args()


if __name__ == "__main__":
    main()
