"""The table of docs/architectures.md: each of its cells is what the test of its row has just seen.

For every architecture one tiny model learns a task of each kind, all in the same batches. The
trained prefixes are published, and a server's engine answers all of them in one request: as each
is answered alone. `POLYPREFIX_WRITE_DOCS=1` writes the rows into the page.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import torch

from prefixes import Prefix, PrefixRef
from prefixes.backbone import Backbone, load_backbone, pool_of, run_mixed
from prefixes.backbone.architecture import ARCHITECTURES
from prefixes.lengths import LengthOptions
from prefixes.registry import open_registry
from server.engine.engine import Engine
from server.engine.options import EngineLimits
from server.engine.values import TaskInput
from tests.factories import make_backbone_folder
from tests.server.doubles import RecordingMetrics, publish
from tests.training import learnable_tasks as tasks

pytestmark = pytest.mark.anyio

PAGE: Final = Path(__file__).parents[1] / "docs" / "architectures.md"
PRAISED: Final = {"text": "the film is great"}

Rows = Callable[..., list[dict[str, Any]]]

COLUMNS: Final[dict[str, tuple[Rows, dict[str, Any], dict[str, Any]]]] = {
    "single label": (tasks.sentiment_rows, {}, PRAISED),
    "several labels": (
        tasks.topic_rows,
        {"problem_type": "multi_label_classification"},
        PRAISED,
    ),
    "regression": (tasks.count_rows, {"problem_type": "regression"}, PRAISED),
    "multiple choice": (
        tasks.choice_rows,
        {"task_type": "multiple_choice"},
        {"text": "the film", "choices": ["it is bad", "it is great", "it is poor"]},
    ),
    "token classification": (
        tasks.tagged_rows,
        {"task_type": "token_classification"},
        {"text": "the plot is very good now"},
    ),
    "question answering": (
        tasks.question_rows,
        {"task_type": "question_answering", "max_length": 24, "stride": 4},
        {"question": "what is it", "context": "film plot card money " * 8},
    ),
    "embedding": (tasks.partner_rows, {"task_type": "embedding"}, PRAISED),
    "shallow prompt": (tasks.sentiment_rows, {"method": "prompt"}, PRAISED),
}
"""Each column's rows to learn from, what its training is told, and an input to answer."""

NUM_ROWS: Final = 40
STEPS: Final = 3


def learn(folder: Path, backbone: Backbone) -> dict[str, Prefix]:
    """Train all columns at once; return the prefixes of those that learned something."""
    runs = []
    for number, (name, (rows, settings, _)) in enumerate(COLUMNS.items()):
        path = tasks.write_jsonl(folder / f"{number}.jsonl", rows(NUM_ROWS, seed=number))
        config = tasks.make_config(
            path,
            task=f"acme/{name.replace(' ', '-')}",
            prefix_length=3 + number,
            max_steps=STEPS,
            seed=number,
            validation_fraction=0.2,
            **settings,
        )
        runs.append(tasks.start(backbone, config))
    before = [run.learner.prefix_tensor().detach().clone() for run in runs]
    tasks.train_all(backbone, runs)
    learned = {}
    for name, run, start in zip(COLUMNS, runs, before, strict=True):
        moved = not torch.equal(run.learner.prefix_tensor().detach(), start)
        if run.step == STEPS and moved and all(map(np.isfinite, run.losses)) and run.best_prefix:
            learned[name] = Prefix.from_bytes(
                run.best_prefix.to_bytes(), fits=[backbone.fingerprint]
            )
    return learned


async def served_as_alone(folder: Path, backbone: Backbone, learned: dict[str, Prefix]) -> set[str]:
    """Publish all, ask for all in one request; name those that are answered as they are alone."""
    registry = open_registry(folder / "store")
    metrics = RecordingMetrics()
    engine = Engine(backbone, registry, EngineLimits(resident_bytes=2**23, num_streams=1), metrics)
    await engine.start()
    try:
        inputs = []
        for name, prefix in learned.items():
            task = name.replace(" ", "-")
            publish(registry, "acme", task, prefix)
            inputs.append(TaskInput(PrefixRef.parse(f"acme/{task}"), COLUMNS[name][2]))
        for _ in range(2):  # the first time brings all of them to the device, one by one
            response = await engine.infer(
                inputs, reader="acme", lengths=LengthOptions(), timeout_seconds=60
            )
            answers = response.results
    finally:
        await engine.stop()
        registry.close()
    assert metrics.batches[-1]["distinct"] == len(learned)  # one batch for all
    good = set()
    for (name, prefix), item, answer in zip(learned.items(), inputs, answers, strict=True):
        pool, (resident,) = pool_of(backbone, [prefix])
        (texts,) = backbone.texts.encode(prefix.spec, [item.fields])
        alone = [run_mixed(backbone, pool, [(text, resident)])[0].numpy() for text in texts]
        pairs = zip(answer.outputs, alone, strict=True)
        # Relative too: a regression of counts gives numbers far above 1.
        if all(np.allclose(mine, own, rtol=1e-5, atol=1e-5) for mine, own in pairs):
            good.add(name)
    return good


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
async def test_the_row_of_an_architecture_says_what_it_can_do(
    architecture: str, tmp_path: Path
) -> None:
    folder = make_backbone_folder(tmp_path / "backbone", architecture, seed=1)
    backbone = load_backbone(folder, device="cpu")

    proved = await served_as_alone(tmp_path, backbone, learn(tmp_path, backbone))

    row = row_of(architecture, proved)
    if os.environ.get("POLYPREFIX_WRITE_DOCS"):
        write_row(architecture, row)
    assert row in PAGE.read_text(encoding="utf-8").splitlines()


def test_the_table_has_the_columns_and_rows_of_these_tests() -> None:
    lines = table_of(PAGE.read_text(encoding="utf-8"))

    assert lines[:2] == HEADING
    assert [line.split("`")[1] for line in lines[2:]] == sorted(ARCHITECTURES)


HEADING: Final = [
    f"| architecture | {' | '.join(COLUMNS)} |",
    f"|---{'|---' * len(COLUMNS)}|",
]


def row_of(architecture: str, proved: set[str]) -> str:
    cells = ["yes" if name in proved else "no" for name in COLUMNS]
    return f"| `{architecture}` | {' | '.join(cells)} |"


def table_of(page: str) -> list[str]:
    found = re.search(r"<!-- table:begin -->\n(.*)<!-- table:end -->", page, re.DOTALL)
    assert found is not None
    return found[1].strip().splitlines()


def write_row(architecture: str, row: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    rows = {line.split("`")[1]: line for line in table_of(page)[2:]} | {architecture: row}
    table = "\n".join([*HEADING, *(rows[name] for name in sorted(rows))])
    marked = f"<!-- table:begin -->\n\n{table}\n\n<!-- table:end -->"
    page = re.sub(
        r"<!-- table:begin -->\n.*<!-- table:end -->", lambda _: marked, page, flags=re.DOTALL
    )
    PAGE.write_text(page, encoding="utf-8")
