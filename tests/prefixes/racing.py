"""Processes that change one registry at the same time; imports no model library, to start fast."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from sqlalchemy import select, union

from prefixes.errors import PrefixError
from prefixes.local_store import LocalStore
from prefixes.registry import Actor, PrefixRegistry, Retention, RetentionRule, open_registry
from prefixes.registry.tables import deleted_versions, versions
from prefixes.staging import StagedBlob
from tests.prefixes.publishing import publish

_BY: Final = Actor("ada")
_TEXTS: Final = ("a", "b")
_PAUSE_SECONDS: Final = 0.01
_TASKS: Final = ("left", "right")
_LISTED: Final = union(select(versions.c.digest), select(deleted_versions.c.digest))


class SlowStore(LocalStore):
    """A store in which another process has time to act between a decision and its effect."""

    def commit(self, staged: StagedBlob) -> None:
        super().commit(staged)
        time.sleep(_PAUSE_SECONDS)

    def delete(self, digest: str) -> None:
        time.sleep(_PAUSE_SECONDS)
        super().delete(digest)


@dataclass
class RaceReport:
    """The report of a racer: numbers of its own versions, acknowledged moves of `acme/topic`,
    the digests that were listed without bytes at any time, and errors of the database.
    """

    published: list[int] = field(default_factory=list)
    num_moves: int = 0
    missing: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    @contextmanager
    def tolerant(self) -> Iterator[None]:
        """Accept that the other racer removed a version, or swept an unfinished upload."""
        try:
            yield
        except PrefixError as error:
            if "database" in str(error):
                self.problems.append(str(error))


def race(folder: Path, url: str, name: str, rounds: int, answer: Connection) -> None:
    """Change the tasks of all racers, and publish to a task of one's own; send the report."""
    registry = PrefixRegistry(open_registry(folder, database_url=url).database, SlowStore(folder))
    dice, report = random.Random(name), RaceReport()
    for count in range(rounds):
        with report.tolerant():
            version = publish(registry, "acme", name, f"{name} {count}").version
            report.published.append(version.number)
        for change in dice.sample(_CHANGES, 3):
            with report.tolerant():
                change(registry, dice)
        registry.promote("acme", "topic", "next", count % 2 + 1, by=Actor(name))
        report.num_moves += 1
        report.missing |= without_bytes(registry)
    registry.close()
    answer.send(report)


def without_bytes(registry: PrefixRegistry) -> set[str]:
    """Return the digests that are listed but not stored, while no one else can write."""
    with registry.database.write() as connection:
        return set(connection.scalars(_LISTED)) - registry.store.digests()


def open_and_count(folder: Path, url: str, answer: Connection) -> None:
    """Open the registry, whose tables may not exist yet, and answer with its number of tenants."""
    registry = open_registry(folder, database_url=url)
    registry.ensure_tenant("acme")
    answer.send(len(registry.tenants()))
    registry.close()


def _publish(registry: PrefixRegistry, dice: random.Random) -> None:
    publish(registry, "acme", dice.choice(_TASKS), dice.choice(_TEXTS))


def _remove(registry: PrefixRegistry, dice: random.Random) -> None:
    registry.remove_prefix("acme", dice.choice(_TASKS), by=_BY)


def _remove_version(registry: PrefixRegistry, dice: random.Random) -> None:
    entry = registry.show("acme", dice.choice(_TASKS), reader="acme")
    registry.remove_version("acme", entry.task, dice.choice(entry.versions).number, by=_BY)


def _sweep(registry: PrefixRegistry, _dice: random.Random) -> None:
    registry.sweep(older_than_seconds=0.5)  # most uploads of the other racer are newer


def _retain(registry: PrefixRegistry, dice: random.Random) -> None:
    retention = Retention(registry.database)
    retention.set("acme", dice.choice(_TASKS), RetentionRule(keep_versions=1), by=_BY)
    retention.apply(by=_BY)


_CHANGES: Final[tuple[Callable[[PrefixRegistry, random.Random], None], ...]] = (
    _publish,
    _remove,
    _remove_version,
    _sweep,
    _retain,
)
