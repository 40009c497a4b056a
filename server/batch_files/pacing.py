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
_MAX_REST_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.05
_FIRST_ROWS: Final = 8
_QUIET_CHUNKS: Final = 2
_WEIGHT_OF_LAST: Final = 0.2


@dataclass(frozen=True, slots=True)
class Turn:
    """Permission to run a chunk of at most so many rows, given at a time of the event loop."""

    max_rows: int
    given_at: float


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
        self._rows_per_second = _FIRST_ROWS / _QUIET_CHUNK_SECONDS
        self._rest_until = 0.0

    @property
    def max_chunks(self) -> int:
        """Maximum number of chunks that one file runs at once."""
        return _QUIET_CHUNKS if self._is_quiet else 1

    async def turn(self) -> Turn:
        """Wait until the next chunk may run. Call `ran` when it has ended."""
        while not (is_quiet := self._is_quiet) and (wait := self._rest_until - self._clock()) > 0:
            await self._sleep(min(wait, _LOOK_SECONDS))
        seconds = _QUIET_CHUNK_SECONDS if is_quiet else _BUSY_CHUNK_SECONDS
        turn = Turn(
            max(1, min(self._max_rows, int(self._rows_per_second * seconds))), self._clock()
        )
        self._rest_after(turn, seconds)  # the other files do not start one meanwhile
        return turn

    def ran(self, turn: Turn, num_rows: int, seconds: float) -> None:
        """Note that a chunk occupied the device for so many seconds."""
        if num_rows and seconds:
            speed = num_rows / seconds
            self._rows_per_second += _WEIGHT_OF_LAST * (speed - self._rows_per_second)
            self._rest_after(turn, seconds)

    @property
    def _is_quiet(self) -> bool:
        return self._has_been_quiet(_QUIET_SECONDS)

    def _rest_after(self, turn: Turn, seconds: float) -> None:
        pause = min(seconds / _BUSY_SHARE, seconds + _MAX_REST_SECONDS)
        self._rest_until = max(self._rest_until, turn.given_at + pause)
