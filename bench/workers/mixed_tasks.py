"""Our packed backbone with many random prefixes, and texts of their tasks."""

from collections.abc import Sequence
from typing import Any

import torch

from bench.kernels import arguments
from bench.random_prefixes import random_prefix
from prefixes.backbone import EncodedText, ResidentPrefix, load_backbone, pool_of, run_mixed

Text = tuple[EncodedText, ResidentPrefix]


class MixedTasks:
    """A backbone with the prefixes of a job. A batch may be for any of them."""

    def __init__(self, job: dict[str, Any]) -> None:
        torch.set_num_threads(job["threads"])
        self._backbone = load_backbone(
            job["model"], device="cpu", dtype=job["dtype"], **arguments(job)
        )
        facts, length = self._backbone.fingerprint, job["prefix_length"]
        prefixes = [random_prefix(facts, length, seed) for seed in range(job["num_tasks"])]
        self._pool, self._residents = pool_of(self._backbone, prefixes)

    def texts(self, tokens: Sequence[list[int]], tasks: Sequence[int]) -> list[Text]:
        """Prepare texts, each for one task; the numbers of tasks may exceed that of prefixes."""
        return [
            (EncodedText(tuple(ids), (0,) * len(ids)), self._residents[task % len(self._residents)])
            for ids, task in zip(tokens, tasks, strict=True)
        ]

    def run(self, batch: list[Text]) -> int:
        """Classify texts; return their number."""
        return len(run_mixed(self._backbone, self._pool, batch))
