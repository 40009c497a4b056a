"""Lone batches: how many tokens a batch that runs alone needs to gain from all threads."""

import logging
from asyncio import wrap_future
from functools import partial
from typing import Final

from prefixes.backbone import Streams
from server.batching.latency import SecondsOf

_log = logging.getLogger(__name__)

_SHORT: Final = 24
"""Tokens of the trial: one short text."""

_MEDIUM: Final = 128
"""Tokens from which all threads are used if a short text does not gain from them. On two cores of
an AMD EPYC (Zen 3), 8 texts of 20 tokens ran 1.5 times as fast on two threads. One text did not.
"""

_WORTH: Final = 1.2
"""Minimum speedup. Threads that wait for each other lose more when other programs run."""

_ROUNDS: Final = 3


async def smallest_for_all_threads(streams: Streams, seconds_of: SecondsOf) -> int:
    """Find the smallest number of tokens for which a lone batch uses the threads of all streams.

    Args:
        streams: the streams of the device. They must be idle.
        seconds_of: called six times on a stream, with the tokens of one short text.
    """
    if streams.num == 1:
        return 0
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(_ROUNDS):
        for is_alone, rounds in seconds.items():
            call = partial(seconds_of, _SHORT)
            rounds.append(await wrap_future(streams.submit(call, is_alone=is_alone)))
    all_threads, one_share = min(seconds[True]), min(seconds[False])
    smallest = 0 if one_share >= _WORTH * all_threads else _MEDIUM
    _log.info(
        "one short text takes %.3g ms on all threads and %.3g ms on those of one stream; a batch "
        "that runs alone uses all threads from %d tokens",
        *(all_threads * 1000, one_share * 1000, smallest),
    )
    return smallest
