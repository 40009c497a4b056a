"""Single short texts over HTTP: our server in several ways, and infinity."""

import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import Final

from bench.closed_loop import (
    APART,
    CONNECTIONS,
    INFINITY,
    PLAIN,
    ClosedLoop,
    closed_figures,
    closed_loop,
    lone_figures,
)
from bench.environments import EnvironmentUnavailable
from bench.figures import Figure
from bench.forward_pass import forward_pass
from bench.kernels import KernelSettings
from bench.open_loop import OpenLoop, open_loop
from bench.processes import ServerFailed
from bench.rounds import alternate
from bench.servers import Target, infinity, send
from bench.serving import Serving
from bench.stores import Store

_LARGEST: Final = 4 * CONNECTIONS
"""Number of connections, for larger batches than those of the open loop."""


def over_http(
    serving: Serving,
    store: Store,
    report: Callable[[str], None],
    *,
    with_infinity: bool,
    loop: OpenLoop | None,
) -> Iterator[Figure]:
    """Send requests to our server with a store's tasks, and in turns to infinity with one model.

    Raises:
        WorkerFailed: when the forward pass without a server cannot be measured.
    """
    name = f"{len(store.tasks)} tasks"
    reasons: dict[str, str] = {}
    with ExitStack() as stack:
        report(f"{serving.group}: starting {name}")
        targets = _own_targets(stack, serving, store, name)
        if with_infinity:
            report(f"{serving.group}: starting infinity")
            try:
                targets[INFINITY] = stack.enter_context(_infinity(serving))
            except (EnvironmentUnavailable, ServerFailed) as error:
                reasons[INFINITY] = str(error)
        batch = closed_loop(targets[name], serving.seconds).batch or 1
        forward = stack.enter_context(forward_pass(serving, max(1, round(batch))))
        loops = {each: partial(closed_loop, one, serving.seconds) for each, one in targets.items()}
        loops[name] = partial(loops[name], forward=forward)
        alternated = partial(_alternated, serving.rounds, report)
        served, failures = alternated(serving.group, loops)
        kernels = {each: target.kernels for each, target in targets.items()}
        yield from closed_figures(
            serving.group, serving.dtype, name, served, reasons | failures, kernels=kernels
        )
        group = f"{serving.group}, one connection"
        lone = {
            each: partial(closed_loop, targets[each], serving.seconds, connections=1)
            for each in (name, name + PLAIN, INFINITY)
            if each in served
        }
        yield from lone_figures(group, serving.dtype, name, alternated(group, lone)[0])
        if loop is not None and name in served:
            rate = loop.share * statistics.median(each.rate for each in served[name])
            report(f"{serving.group}: {rate:.0f} requests/s for {loop.seconds:.0f} s")
            # Freed memory is kept for the next batch, so it grows until the largest batch was run.
            send(targets[name].plan(connections=_LARGEST, seconds=2 * serving.seconds))
            group = f"{serving.group}, {rate:.0f} requests/s in an open loop"
            yield from open_loop(group, targets[name], rate, loop.seconds)


def _own_targets(stack: ExitStack, serving: Serving, store: Store, name: str) -> dict[str, Target]:
    """Serve a store from one process, with a separate front end, and with plain kernels."""
    plain = KernelSettings.plain(serving.kernels.cache)
    servers = {
        name: serving.serve(store),
        name + APART: serving.serve(store, num_front_ends=1),
        name + PLAIN: serving.serve(store, kernels=plain),
    }
    targets = {each: stack.enter_context(server) for each, server in servers.items()}
    for target in targets.values():
        send(serving.touch_plan(target, store.tasks))
    return targets


def _infinity(serving: Serving) -> AbstractContextManager[Target]:
    return infinity(
        serving.folder, serving.texts, dtype=serving.dtype, num_threads=serving.num_threads
    )


def _alternated(
    rounds: int,
    report: Callable[[str], None],
    group: str,
    loops: Mapping[str, Callable[[], ClosedLoop]],
) -> tuple[dict[str, list[ClosedLoop]], dict[str, str]]:
    return alternate(
        loops, rounds, failure=ServerFailed, report=lambda each: report(f"{group}: {each}")
    )
