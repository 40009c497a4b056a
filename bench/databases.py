"""The database's part of a request: looking up a key and a task, by database and cache.

    python -m bench.databases

It starts a PostgreSQL of its own on this machine, so the network between two machines is not
included. Each way runs in turns with the others.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from statistics import median
from typing import Final

from prefixes import PrefixRef
from prefixes.registry import ApiKeys, PrefixRegistry, open_registry
from tests.postgresql import start_postgresql
from tests.prefixes.publishing import publish

_NUM_ROUNDS: Final = 9
_NUM_LOOKUPS: Final = 300
_LIVE: Final = PrefixRef("acme", "topic", alias="live")


def main() -> None:
    """Measure, and print a table."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = start_postgresql()
        stack.callback(server.remove)
        ways = {
            "SQLite": stack.enter_context(_lookups(folder / "sqlite", None)),
            "PostgreSQL, cached": stack.enter_context(_lookups(folder / "cached", server.url())),
            "PostgreSQL, not cached": stack.enter_context(
                _lookups(folder / "queried", server.url(server.create_database()), follows=False)
            ),
        }
        rounds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(_NUM_ROUNDS):
            for name, look_up in ways.items():
                rounds[name].append(_microseconds(look_up))
    for name, found in rounds.items():
        print(f"{name:<24} {median(found):9.1f} us   ({min(found):.1f} to {max(found):.1f})")


@contextmanager
def _lookups(
    folder: Path, url: str | None, *, follows: bool = True
) -> Iterator[Callable[[], None]]:
    """Give a function that looks up the key and the task of a request, as the server does."""
    with closing(open_registry(folder, database_url=url)) as registry:
        registry.ensure_tenant("acme")
        publish(registry, "acme", "topic", "one")
        keys = ApiKeys(registry.database)
        key = keys.issue("acme", "bench").key
        if follows:
            registry.database.follow_changes()
        yield lambda: _look_up(registry, keys, key)


def _look_up(registry: PrefixRegistry, keys: ApiKeys, key: str) -> None:
    identity = keys.recall(key) or keys.authenticate(key)
    assert identity is not None
    if registry.recall([_LIVE], reader=identity.tenant) is None:
        registry.resolve([_LIVE], reader=identity.tenant)


def _microseconds(call: Callable[[], None]) -> float:
    call()
    started = time.perf_counter()
    for _ in range(_NUM_LOOKUPS):
        call()
    return (time.perf_counter() - started) / _NUM_LOOKUPS * 1e6


if __name__ == "__main__":
    main()
