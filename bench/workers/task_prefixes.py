"""One process with the prefixes of N tasks; a batch has texts of random tasks."""

from functools import partial
from typing import Any

from closed_loop import in_order
from mixed_tasks import MixedTasks, Text
from protocol import Run, serve


def load(job: dict[str, Any]) -> dict[str, dict[str, Run]]:
    ours = MixedTasks(job)

    def run(batches: list[list[Text]]) -> int:
        return sum(map(ours.run, batches))

    return {
        name: {
            str(size): partial(
                run, in_order(ours.texts(work["tokens"], work["tasks"]), size)[: job["max_batches"]]
            )
            for size in job["batches"]
        }
        for name, work in job["workloads"].items()
    }


if __name__ == "__main__":
    serve(load)
