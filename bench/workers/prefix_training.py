"""Our training of prefixes: one alone, or several configurations in the same batches."""

from functools import partial
from typing import Any

import torch
from protocol import Run as Timed
from protocol import serve

from prefixes import InputTemplate
from prefixes.backbone import Backbone, Streams, load_backbone
from training.examples import Examples, TaskData
from training.learning.loop import take_step
from training.learning.run import Run
from training.settings.config import TrainConfig

TOKENS_PER_BATCH = 4096


def load(job: dict[str, Any]) -> dict[str, dict[str, Timed]]:
    torch.set_num_threads(job["threads"])
    backbone = load_backbone(job["model"], device="cpu", dtype=job["dtype"], to_train=True)
    return {
        name: _contenders(backbone, job, _data(work, job["num_labels"]))
        for name, work in job["workloads"].items()
    }


def _contenders(backbone: Backbone, job: dict[str, Any], data: TaskData) -> dict[str, Timed]:
    count = job["num_configurations"]
    runs = [Run.start(_config(job, place), data, backbone) for place in range(count)]
    found = {
        "one run": partial(_learn, backbone, [runs[:1]]),
        f"{count} configurations": partial(_learn, backbone, [runs]),
        f"one run, {count} times the rows": partial(_learn, backbone, [runs[:1]] * count),
        f"{count} runs, one after another": partial(_learn, backbone, [[run] for run in runs]),
    }
    return {name: run for name, run in found.items() if name in job["contenders"]}


def _learn(backbone: Backbone, groups: list[list[Run]]) -> int:
    """Train groups one after another, each for one pass over the rows; return the rows."""
    rows = 0
    with Streams.on(backbone.device) as streams:
        for runs in groups:
            for _ in range(runs[0].steps_per_epoch):
                take_step(backbone, runs, tokens_per_batch=TOKENS_PER_BATCH, streams=streams)
            rows += len(runs) * len(runs[0].pieces)
    return rows


def _config(job: dict[str, Any], place: int) -> TrainConfig:
    return TrainConfig(
        task="bench/speed",
        variant=str(place),
        train="none.jsonl",
        prefix_length=job["prefix_length"],
        batch_size=job["batch"],
        learning_rate=1e-3 * (place + 1),
        epochs=1e6,  # the rounds end it
    )


def _data(work: dict[str, Any], num_labels: int) -> TaskData:
    inputs = tuple({"text": text} for text in work["texts"])
    rows = Examples(inputs, tuple(work["labels"]))
    labels = tuple(f"label {number}" for number in range(num_labels))
    return TaskData(labels, InputTemplate(text="{text}"), rows, rows.take([0]), None, sha256="")


if __name__ == "__main__":
    serve(load)
