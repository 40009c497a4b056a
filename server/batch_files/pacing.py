"""Pacing: how many rows run at once, so that requests are not harmed and batch files not starved.

A batch on the device cannot be interrupted, so a request may wait for the chunk that runs. While
there are requests, chunks are therefore short and rare. Otherwise they keep the device busy.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

_QUIET_SECONDS: Final = 0.25
"""Time without requests after which batch files use the whole device."""
_QUIET_CHUNK_SECONDS: Final = 0.1
_BUSY_CHUNK_SECONDS: Final = 0.015
_BUSY_SHARE: Final = 0.1
"""Maximum share of the time in which chunks run while there are requests."""
_QUIET_CHECKPOINT_SECONDS: Final = 1.0
_BUSY_CHECKPOINT_SECONDS: Final = 5.0
"""A checkpoint holds the interpreter lock for milliseconds, which one request in fifty would notice
if there were one each second. Few rows run meanwhile, so few are run again after a restart."""
_MAX_REST_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.05
_FIRST_ROWS: Final = 4.0
_QUIET_CHUNKS: Final = 2
_MAX_GROWTH: Final = 1.25
_MAX_SHRINKAGE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Turn:
    """Permission to run a chunk of at most so many rows, given at a time of the event loop."""

    max_rows: int
    given_at: float
    is_quiet: bool


class Pacer:
    """Paces the chunks of all batch files. Belongs to the engine's event loop."""

    def __init__(
        self,
        has_been_quiet: Callable[[float], bool],
        *,
        max_rows: int,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Set up.

        Args:
            has_been_quiet: returns whether there were no requests in so many seconds.
            max_rows: maximum number of rows of a chunk.
            sleep: waits for so many seconds.
            clock: the time in seconds; None for that of the event loop.
        """
        self._has_been_quiet = has_been_quiet
        self._max_rows = max_rows
        self._sleep = sleep
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        # A batch takes some time however few rows it has, so the sizes are adapted to the time that
        # chunks take, and not computed from the time of a row.
        first = min(_FIRST_ROWS, float(max_rows))
        self._num_rows = {True: first, False: first}
        self._rest_until = 0.0

    @property
    def max_chunks(self) -> int:
        """Maximum number of chunks that one file runs at once."""
        return _QUIET_CHUNKS if self._is_quiet else 1

    @property
    def seconds_between_checkpoints(self) -> float:
        """Time after which a file saves a checkpoint."""
        return _QUIET_CHECKPOINT_SECONDS if self._is_quiet else _BUSY_CHECKPOINT_SECONDS

    async def turn(self) -> Turn:
        """Wait until the next chunk may run. Call `ran` when it has ended."""
        while not (is_quiet := self._is_quiet) and (wait := self._rest_until - self._clock()) > 0:
            await self._sleep(min(wait, _LOOK_SECONDS))
        turn = Turn(int(self._num_rows[is_quiet]), self._clock(), is_quiet)
        self._rest_after(turn, _seconds_of(turn))  # the other files do not start one meanwhile
        return turn

    def ran(self, turn: Turn, num_rows: int, seconds: float) -> None:
        """Note that a chunk occupied the device for so many seconds."""
        if not num_rows:
            return
        self._rest_after(turn, seconds)
        factor = _seconds_of(turn) / max(seconds, 1e-6)
        is_full = num_rows == turn.max_rows  # a smaller chunk does not show that more would fit
        factor = min(factor, _MAX_GROWTH if is_full else 1.0)
        num_rows_next = self._num_rows[turn.is_quiet] * max(factor, _MAX_SHRINKAGE)
        self._num_rows[turn.is_quiet] = min(max(num_rows_next, 1.0), float(self._max_rows))

    @property
    def _is_quiet(self) -> bool:
        return self._has_been_quiet(_QUIET_SECONDS)

    def _rest_after(self, turn: Turn, seconds: float) -> None:
        pause = min(seconds / _BUSY_SHARE, seconds + _MAX_REST_SECONDS)
        self._rest_until = max(self._rest_until, turn.given_at + pause)


def _seconds_of(turn: Turn) -> float:
    """Return how long a chunk is to occupy the device."""
    return _QUIET_CHUNK_SECONDS if turn.is_quiet else _BUSY_CHUNK_SECONDS
