"""Our packed backbone with many prefixes, in each layout of its threads, under a closed loop."""

from functools import partial
from typing import Any

from closed_loop import Submit, contenders
from mixed_tasks import MixedTasks, Text
from protocol import Run, serve

from prefixes.backbone import Streams


def load(job: dict[str, Any]) -> dict[str, dict[str, Run]]:
    ours = MixedTasks(job)

    def layout(num_streams: int) -> Submit[Text]:
        streams = Streams(num_streams, num_threads=job["threads"])
        return lambda batch: streams.submit(partial(ours.run, batch))

    layouts = {name: layout(num) for name, num in job["layouts"].items()}
    return contenders(job, layouts, ours.texts(job["tokens"], job["tasks"]))


if __name__ == "__main__":
    serve(load)
