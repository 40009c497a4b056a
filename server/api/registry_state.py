"""Registry states: a change is seen by the requests that follow it, at every server.

The response to a change names a state of the registry. A request that carries the state is
answered by no server that has not seen it. With SQLite there is nothing to do: all processes see a
change at once.
"""

from typing import Final

from anyio import fail_after, to_thread
from fastapi import Request

from prefixes.registry import Database
from server.api.session_cookie import SAFE_METHODS
from server.errors import InvalidRegistryState, RegistryBehind

HEADER: Final = "Polyprefix-Registry-State"
_MAX_DIGITS: Final = 18
_WAIT_SECONDS: Final = 2.0


async def see_state(request: Request, database: Database) -> None:
    """See the state that a request carries, if any.

    Raises:
        InvalidRegistryState: when it is not a number.
        RegistryBehind: when the state is not seen in time, or the database does not have it.
        StoreUnavailable: when the database cannot be read.
    """
    if database.change_number is None or (text := request.headers.get(HEADER)) is None:
        return
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise InvalidRegistryState(
            f"Invalid {HEADER} header {text[:80]!r}: send the value of an earlier response."
        )
    await see_number(int(text), database)


async def see_number(number: int | None, database: Database) -> None:
    """See a state. None, as with SQLite, is always seen.

    Raises:
        RegistryBehind, StoreUnavailable: as `see_state`.
    """
    seen = database.change_number
    if number is None or seen is None or number <= seen:
        return
    if not await _catch_up(database, number):
        raise RegistryBehind(
            f"This server has not seen the registry state {number} yet. Retry later, or without "
            f"the {HEADER} header."
        )


def state_headers(method: str, database: Database) -> dict[str, str]:
    """Name the state that includes the change of a request; nothing if it changes nothing."""
    number = None if method in SAFE_METHODS else database.change_number
    return {} if number is None else {HEADER: str(number)}


async def _catch_up(database: Database, number: int) -> bool:
    try:
        with fail_after(_WAIT_SECONDS):
            return await to_thread.run_sync(database.catch_up, number, abandon_on_cancel=True)
    except TimeoutError:
        return False
