"""OpenVINO with one fine-tuned model, in each layout of its threads, under a closed loop."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from closed_loop import Submit, contenders
from exported import Logits
from open_vino import answer, compiled, converted
from protocol import Run, serve


def load(job: dict[str, Any]) -> dict[str, dict[str, Run]]:
    classifier = Logits(job["model"])
    model = converted(classifier)

    def layout(num_streams: int) -> Submit[list[int]]:
        network = compiled(model, job, num_streams=num_streams)
        mine = threading.local()  # one request of OpenVINO runs one batch at a time

        def start() -> None:
            mine.request = network.create_infer_request()

        def run(batch: list[list[int]]) -> int:
            return answer(mine.request.infer, classifier.pad, batch)

        threads = ThreadPoolExecutor(num_streams, initializer=start)
        return lambda batch: threads.submit(run, batch)

    layouts = {name: layout(num) for name, num in job["layouts"].items()}
    return contenders(job, layouts, job["tokens"])


if __name__ == "__main__":
    serve(load)
