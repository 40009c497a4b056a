"""A closed loop in the process: callers that each wait for a batch before they submit the next."""

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from protocol import Run

Text = TypeVar("Text")
Submit = Callable[[list[Text]], "Future[int]"]
"""Starts a batch; the result is the number of texts in it."""


def contenders(
    job: dict[str, Any], layouts: Mapping[str, Submit[Text]], texts: Sequence[Text]
) -> dict[str, dict[str, Run]]:
    """Make a contender of each layout under each load of a job."""
    return {
        load: {
            layout: partial(
                latencies,
                submit,
                in_order(texts, each["batch"]),
                num_callers=each["callers"],
                seconds=job["seconds"],
            )
            for layout, submit in layouts.items()
        }
        for load, each in job["loads"].items()
    }


def latencies(
    submit: Submit[Text],
    batches: Sequence[list[Text]],
    *,
    num_callers: int,
    seconds: float,
) -> list[float]:
    """Submit batches in turn from several callers, and return the latency of every text in seconds.

    The last batches are submitted within `seconds`.
    """
    endless = itertools.cycle(batches)
    deadline = time.perf_counter() + seconds

    def call() -> list[float]:
        found: list[float] = []
        while (started := time.perf_counter()) < deadline:
            num_texts = submit(next(endless)).result()
            found += [time.perf_counter() - started] * num_texts
        return found

    with ThreadPoolExecutor(num_callers, thread_name_prefix="caller") as callers:
        futures = [callers.submit(call) for _ in range(num_callers)]
        return [latency for future in futures for latency in future.result()]


def in_order(texts: Sequence[Text], size: int) -> list[list[Text]]:
    """Divide texts into batches in the order of arrival."""
    return [list(texts[start : start + size]) for start in range(0, len(texts), size)]
