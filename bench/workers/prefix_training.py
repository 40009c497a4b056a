"""Our training of prefixes: one alone, or several configurations in the same batches."""

from functools import partial
from typing import Any

import torch
from protocol import Contender, serve

from bench.kernels import arguments, names_of, plain_arguments
from prefixes import InputTemplate
from prefixes.backbone import Backbone, Streams, load_backbone
from training.examples import Examples, TaskData
from training.learning.loop import take_step
from training.learning.run import Run
from training.settings.config import TrainConfig

PLAIN = "one run, plain kernels"
TOKENS_PER_BATCH = 4096


def load(job: dict[str, Any]) -> dict[str, dict[str, Contender]]:
    torch.set_num_threads(job["threads"])
    load_one = partial(load_backbone, job["model"], device="cpu", dtype=job["dtype"], to_train=True)
    chosen = load_one(**arguments(job))
    # Only if it is needed: a second backbone would add to the peak memory.
    plain = load_one(**plain_arguments()) if PLAIN in job["contenders"] else chosen
    return {
        name: _contenders(chosen, plain, job, _data(work, job["num_labels"]))
        for name, work in job["workloads"].items()
    }


def _contenders(
    chosen: Backbone, plain: Backbone, job: dict[str, Any], data: TaskData
) -> dict[str, Contender]:
    count = job["num_configurations"]
    runs = [Run.start(_config(job, place), data, chosen) for place in range(count)]
    found = {
        "one run": [runs[:1]],
        f"{count} configurations": [runs],
        f"one run, {count} times the rows": [runs[:1]] * count,
        f"{count} runs, one after another": [[run] for run in runs],
    }
    contenders = {
        name: Contender(partial(_learn, chosen, groups), names_of(chosen))
        for name, groups in found.items()
        if name in job["contenders"]
    }
    if PLAIN in job["contenders"]:
        groups = [[Run.start(_config(job, 0), data, plain)]]
        contenders[PLAIN] = Contender(partial(_learn, plain, groups), names_of(plain))
    return contenders


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
