"""What a mix of tasks costs: packed batches with many prefixes, against one and against none.

Every contender classifies the same texts in batches of the same size, in alternating order, and
what counts is the ratio of two medians of one run:

    python bench/mixed.py --output bench/results/latest.json

Contenders: the packed backbone without prefixes; ours with 1, 8, 64 and 1000 distinct prefixes;
transformers with PEFT prefix tuning, padded, switching the adapter from task to task.
"""

import argparse
import json
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from prefixes import HeadSpec, Prefix, PrefixSpec
from prefixes.backbone import Backbone, PackedBatch, load_backbone, pool_of, run_mixed
from prefixes.checks import expected_shapes

ROOT = Path(__file__).resolve().parents[1]
PREFIX_LENGTH = 16
NUM_LABELS = 4


def sample_texts(count: int, seed: int) -> list[str]:
    """Draw texts of all lengths from the samples that come with the examples."""
    files = sorted((ROOT / "examples" / "data").glob("*/train.jsonl"))
    texts = [json.loads(line)["text"] for file in files for line in file.open()]
    return random.Random(seed).sample(texts, count)  # noqa: S311 - a benchmark, not a secret


def random_prefix(backbone: Backbone, seed: int) -> Prefix:
    """Make a prefix of the usual size; what it says does not matter for its cost."""
    facts = backbone.fingerprint
    rng = np.random.default_rng(seed)
    spec = PrefixSpec(
        problem_type="single_label_classification",
        labels=tuple(f"label-{n}" for n in range(NUM_LABELS)),
        prefix_length=PREFIX_LENGTH,
        position_offset=PREFIX_LENGTH,
        max_length=facts.max_positions - PREFIX_LENGTH,
        head=HeadSpec(pooling="mean"),
        backbone=facts,
    )
    tensors = {
        name: rng.normal(0, 0.5 if name.startswith("prefix") else 0.1, shape).astype(np.float32)
        for name, shape in expected_shapes(spec).items()
    }
    return Prefix(spec, tensors)


def ours(backbone: Backbone, texts: list[str], num_tasks: int, batch: int) -> Callable[[], None]:
    """Classify in mixed batches, text i by task i modulo the number of tasks."""
    pool, residents = pool_of(backbone, [random_prefix(backbone, n) for n in range(num_tasks)])
    spec = residents[0].spec
    encoded = backbone.texts.encode(spec, [{"text": text} for text in texts])
    work = [(text, residents[i % num_tasks]) for i, (text,) in enumerate(encoded)]

    def run() -> None:
        for start in range(0, len(work), batch):
            run_mixed(backbone, pool, work[start : start + batch])

    return run


def bare(backbone: Backbone, texts: list[str], batch: int) -> Callable[[], None]:
    """Run the packed backbone without any prefix or head."""
    spec = random_prefix(backbone, 0).spec
    encoded = backbone.texts.encode(spec, [{"text": text} for text in texts])
    rows = [backbone.row(text) for (text,) in encoded]
    pool = backbone.empty_pool(1)

    @torch.inference_mode()
    def run() -> None:
        for start in range(0, len(rows), batch):
            backbone(PackedBatch.pack(rows[start : start + batch], backbone.device), pool)

    return run


def peft_per_task(source: str, texts: list[str], num_tasks: int, batch: int) -> Callable[[], None]:
    """Group each batch by task, and for each task switch the adapter and run it padded."""
    from peft import PrefixTuningConfig, get_peft_model  # noqa: PLC0415 - a peer of the bench only
    from transformers import (  # noqa: PLC0415
        AutoModelForSequenceClassification,
        AutoTokenizer,
    )

    from prefixes.backbone.loading import locate_backbone  # noqa: PLC0415

    _, place = locate_backbone(source)
    tokenizer = AutoTokenizer.from_pretrained(place)
    model: Any = AutoModelForSequenceClassification.from_pretrained(place, num_labels=NUM_LABELS)
    config = PrefixTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=PREFIX_LENGTH)
    model = get_peft_model(model, config, adapter_name="0")
    for number in range(1, num_tasks):
        model.add_adapter(str(number), config)
    model.eval()

    @torch.inference_mode()
    def run() -> None:
        for start in range(0, len(texts), batch):
            groups: dict[int, list[str]] = {}
            for index, text in enumerate(texts[start : start + batch], start):
                groups.setdefault(index % num_tasks, []).append(text)
            for task, members in groups.items():
                model.set_adapter(str(task))
                padded = tokenizer(
                    members, padding=True, truncation=True, max_length=480, return_tensors="pt"
                )
                model(**padded)

    return run


def measure(contenders: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Time every contender once a round, each round in another order."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for name in names:
        contenders[name]()  # warm-up
    for number in track(range(rounds), description="measuring"):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            started = time.perf_counter()
            contenders[name]()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def processor() -> str:
    """Name the processor as well as the system can."""
    info = Path("/proc/cpuinfo")
    names = (
        [x for x in info.read_text().splitlines() if x.startswith("model name")]
        if info.exists()
        else []
    )
    name = names[0].split(":", 1)[1].strip() if names else platform.processor()
    return f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def main() -> None:
    """Measure, print the table, and write the file where one is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="minilm")
    parser.add_argument("--texts", type=int, default=512)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peft-tasks", type=int, default=64)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    backbone = load_backbone(options.backbone)
    texts = sample_texts(options.texts, seed=1)
    contenders: dict[str, Callable[[], None]] = {
        "packed, no prefix": bare(backbone, texts, options.batch)
    }
    for num_tasks in (1, 8, 64, 1000):
        contenders[f"packed, {num_tasks} prefixes"] = ours(
            backbone, texts, num_tasks, options.batch
        )
    peft_name = f"PEFT set_adapter, {options.peft_tasks} prefixes"
    contenders[peft_name] = peft_per_task(
        options.backbone, texts, options.peft_tasks, options.batch
    )
    seconds = measure(contenders, options.rounds)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    base = medians["packed, no prefix"]
    table = Table("contender", "texts/s", "speed against no prefix", title=processor())
    for name, median in medians.items():
        table.add_row(name, f"{options.texts / median:.0f}", f"{base / median:.3f}")
    Console().print(table)
    if options.output is not None:
        write(options.output, medians, options.texts, peft_name)


def write(output: Path, medians: dict[str, float], num_texts: int, peft_name: str) -> None:
    """Keep the figures with the machine, the commit and the command that gave them."""
    base = medians["packed, no prefix"]
    results: list[dict[str, Any]] = [
        {
            "name": name,
            "measured": num_texts / median,
            "bound": None,
            "holds": None,
            "unit": "texts/s",
        }
        for name, median in medians.items()
    ]
    for name in ("packed, 64 prefixes", "packed, 1000 prefixes"):
        ratio = base / medians[name]
        results.append(
            {
                "name": f"{name} / no prefix",
                "measured": ratio,
                "bound": None,
                "holds": None,
                "unit": "ratio",
            }
        )
    ratio = medians[peft_name] / medians["packed, 64 prefixes"]
    results.append(
        {
            "name": f"packed, 64 prefixes / {peft_name}",
            "measured": ratio,
            "bound": None,
            "holds": None,
            "unit": "ratio",
        }
    )
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    ).stdout.strip()
    facts = {"processor": processor(), "commit": commit, "command": " ".join(sys.argv)}
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps({**facts, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
