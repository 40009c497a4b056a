"""Our backbone from its files to its first pass, in a process that has loaded nothing before."""

from typing import Any

import torch
from protocol import Run, serve

from bench.kernels import arguments
from prefixes.backbone import Backbone, EncodedText, load_backbone
from server.hosting.memory import keep_freed_memory


class _Loading:
    """Loads the backbone of a job on demand."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._job = job
        self._backbone: Backbone | None = None

    def load(self) -> int:
        job = self._job
        self._backbone = load_backbone(
            job["model"], device="cpu", dtype=job["dtype"], **arguments(job)
        )
        keep_freed_memory()  # as the server does after loading, which returns what was freed
        return 0

    @torch.inference_mode()
    def run_one(self) -> int:
        assert self._backbone is not None
        tokens = tuple(self._job["tokens"])
        row = self._backbone.row(EncodedText(tokens, (0,) * len(tokens)))
        self._backbone(self._backbone.pack([row]), self._backbone.empty_pool(1))
        return 1


def load(job: dict[str, Any]) -> dict[str, dict[str, Run]]:
    torch.set_num_threads(job["threads"])
    loading = _Loading(job)
    return {"loading": {"load": loading.load, "pass": loading.run_one}}


if __name__ == "__main__":
    serve(load)
