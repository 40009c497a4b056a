"""Residency: the cost of tasks in memory and at startup, and of prefixes that are not resident."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from bench.figures import Bound, Figure, quantile
from bench.servers import Sending, Target, body, send
from bench.serving import Serving
from bench.stores import Store, forget_files

_NUM_WARM: Final = 16
"""Number of tasks that are requested continuously."""

_WARMING_PER_SECOND: Final = 80
"""Number of warm-up requests per second of a round, after which memory of requests is allocated."""

_OTHERS_PER_SECOND: Final = 40.0
_MAX_COLD_PER_SECOND: Final = 8.0
_UNCHANGED: Final = 1.05
"""Maximum growth of the others' median latency that counts as unchanged."""

_MIB: Final = 2**20


def cold_prefixes(
    serving: Serving, store: Store, report: Callable[[str], None]
) -> Iterator[Figure]:
    """Request prefixes that are only on disk: alone, and together with other requests."""
    group = f"{serving.group}, cold prefixes"
    forget_files(store)
    with serving.serve(store) as target:
        warm, cold = list(store.tasks[:_NUM_WARM]), list(store.tasks[_NUM_WARM:])
        _warm_up(serving, target, warm)
        report(f"{group}: first and second requests")
        num_pairs = min(200, len(cold) // 3)
        pairs, cold = cold[:num_pairs], cold[num_pairs:]
        bodies = [body(task, serving.texts[0]) for task in pairs for _ in ("first", "second")]
        load = send(target.plan(bodies, count=len(bodies)))
        latencies = [1000 * seconds for seconds in load.latencies]
        firsts, seconds = latencies[::2], latencies[1::2]
        added = [first - second for first, second in zip(firsts, seconds, strict=True)]
        yield Figure(group, "first request, p50", "ms", statistics.median(firsts))
        yield Figure(group, "second request, p50", "ms", statistics.median(seconds))
        bound = Bound(10, "at most")
        yield Figure(group, "added to the first, p50", "ms", statistics.median(added), bound=bound)
        per_round = len(cold) // serving.rounds
        ratios = []
        for number in range(serving.rounds):
            report(f"{group}: others' requests, round {number + 1}")
            some = cold[number * per_round : (number + 1) * per_round]
            kinds = [("resident", warm), ("cold", some)]
            in_turn = kinds if number % 2 == 0 else kinds[::-1]
            p50 = {kind: _others(serving, target, warm, each) for kind, each in in_turn}
            ratios.append(p50["cold"] / p50["resident"])
        bound = Bound(_UNCHANGED, "at most")
        yield Figure.of_rounds(group, "others' p50, with / without", "times", ratios, bound)


def _others(serving: Serving, target: Target, warm: Sequence[str], more: Sequence[str]) -> float:
    """Return the median latency in seconds of requests to warm tasks while `more` are requested."""
    text = serving.texts[0]
    rate = min(_MAX_COLD_PER_SECOND, len(more) / serving.seconds / 1.3)
    others = Sending(
        target.plan(
            [body(task, text) for task in warm], rate=_OTHERS_PER_SECOND, seconds=serving.seconds
        )
    )
    cold = Sending(
        target.plan([body(task, text) for task in more], rate=rate, seconds=serving.seconds)
    )
    cold.flawless_result()
    return quantile(others.flawless_result().latencies, 0.5)


def memory(
    serving: Serving, store: Store, registered: tuple[Store, Store], report: Callable[[str], None]
) -> Iterator[Figure]:
    """Compare a server's memory before and after tasks are requested.

    Also compare it with few and many tasks that are only registered: the second of `registered`
    has `num_rows` more tasks than the first.
    """
    group = f"{serving.backbone}, {serving.dtype}, memory"
    report(f"{group}: resident tasks")
    with serving.serve(store) as target:
        warm, more = store.tasks[:_NUM_WARM], store.tasks[_NUM_WARM:]
        _warm_up(serving, target, warm)
        before = target.server.memory_bytes()
        send(serving.touch_plan(target, more))
        _warm_up(serving, target, warm)
        per_task = (target.server.memory_bytes() - before) / len(more)
    own = store.prefix_bytes / (2 if serving.dtype == "bfloat16" else 1)
    yield Figure(group, "a resident task", "KiB", per_task / 1024)
    bound = Bound(1.1, "at most")
    yield Figure(group, "a resident task / its own bytes", "times", per_task / own, bound=bound)
    yield from _fine_tuned(serving, group, len(store.tasks), before + per_task * len(more))
    report(f"{group}: registered tasks")
    yield from _registered(serving, group, registered)


def _fine_tuned(
    serving: Serving, group: str, num_tasks: int, with_tasks: float
) -> Iterator[Figure]:
    """Compare the whole server with the weights of one fine-tuned model per task."""
    size = (serving.folder / "model.safetensors").stat().st_size
    size //= 2 if serving.dtype == "bfloat16" else 1
    yield Figure(group, f"server with {num_tasks} resident tasks", "MiB", with_tasks / _MIB)
    name = f"{num_tasks} fine-tuned models, weights alone (computed)"
    yield Figure(group, name, "MiB", num_tasks * size / _MIB)


def _registered(serving: Serving, group: str, stores: tuple[Store, Store]) -> Iterator[Figure]:
    sizes, starts = [], []
    for store in stores:
        with serving.serve(store):
            pass  # the first start is slower than all later ones
        with serving.serve(store) as target:
            _warm_up(serving, target, store.tasks)
            sizes.append(target.server.memory_bytes())
            starts.append(target.server.start_seconds)
    number = stores[1].num_rows - stores[0].num_rows
    each = (sizes[1] - sizes[0]) / number
    bound = Bound(1024, "at most")
    yield Figure(group, f"each of {number} registered tasks", "bytes", each, bound=bound)
    added = starts[1] - starts[0]
    bound = Bound(5, "at most")
    yield Figure(group, f"added to a start by {number} tasks", "s", added, bound=bound)


def warm_start(
    serving: Serving, few: Store, many: Store, report: Callable[[str], None]
) -> Iterator[Figure]:
    """Start a server on a store with few prefix files and on one with many, in turns."""
    group = f"{serving.backbone}, {serving.dtype}, warm start"
    name = f"{len(many.tasks)} prefixes"
    stores = {f"{len(few.tasks)} prefix": few, name: many}
    for each, store in stores.items():
        report(f"{group}: {each}, first start")
        _start_seconds(serving, store)  # the first start is slower than all later ones
    starts: dict[str, list[float]] = {each: [] for each in stores}
    for number in range(serving.rounds):
        for each in list(stores)[:: 1 if number % 2 == 0 else -1]:
            report(f"{group}: {each}, round {number + 1}")
            starts[each].append(_start_seconds(serving, stores[each]))
    for each, seconds in starts.items():
        yield Figure.of_rounds(group, f"start with {each}", "s", seconds)
    fewest, most = starts.values()
    added = [more - less for less, more in zip(fewest, most, strict=True)]
    bound = Bound(5, "at most")
    yield Figure.of_rounds(group, f"added to a start by {name}", "s", added, bound)


def _start_seconds(serving: Serving, store: Store) -> float:
    with serving.serve(store) as target:
        return target.server.start_seconds


def _warm_up(serving: Serving, target: Target, tasks: Sequence[str]) -> None:
    """Send requests until the server has allocated all memory except that of prefixes."""
    count = round(_WARMING_PER_SECOND * serving.seconds)
    bodies = [
        body(tasks[number % len(tasks)], serving.texts[number % len(serving.texts)])
        for number in range(count)
    ]
    send(target.plan(bodies, connections=8, count=count))
