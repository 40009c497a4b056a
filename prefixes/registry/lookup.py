"""Lookups of the registry: versions by reference, lists of tasks, and single tasks."""

from collections import defaultdict
from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection

from prefixes.errors import PrefixNotFound
from prefixes.names import DEFAULT_ALIAS, PrefixRef
from prefixes.registry.alias_values import Alias, AliasMove, CanaryPlan
from prefixes.registry.canary_columns import canary_of
from prefixes.registry.lookup_queries import (
    ALIASES,
    BY_ALIAS,
    BY_NUMBER,
    CANARIES_OF_TASK,
    MOVES,
    NUM_CHOICES,
    NUM_COLUMNS,
    NUMBERS,
    PUBLIC,
    TARGETS,
    VERSIONS,
)
from prefixes.registry.routing import CanaryRoute, Target
from prefixes.registry.tables import tenants
from prefixes.registry.values import ListedVersion, PrefixEntry, PrefixSummary, PrefixVersion
from prefixes.spec import AliasRuleSet


def not_found(*names: object) -> PrefixNotFound:
    """Make one error for missing and for hidden tasks, so that callers cannot probe for names."""
    listed = ", ".join(sorted(str(name) for name in names))
    return PrefixNotFound(
        f"Prefix not found: {listed[:500]}; list the prefixes you may use, or publish it first"
    )


def find_targets(
    connection: Connection, refs: Collection[PrefixRef], reader: str | None
) -> dict[PrefixRef, Target]:
    """Find what each reference stands for: one query for numbers, one for aliases.

    Raises:
        PrefixNotFound: when a reference is unknown or hidden from the reader; the message names
            all of them.
    """
    found = find_existing_targets(connection, refs, reader)
    missing = set(refs) - found.keys()
    if missing:
        raise not_found(*missing)
    return {ref: found[ref] for ref in refs}


def find_existing_targets(
    connection: Connection, refs: Collection[PrefixRef], reader: str | None
) -> dict[PrefixRef, Target]:
    """Find what references stand for, without those that are unknown or hidden from the reader.

    The result may have more references than these.
    """
    wanted = set(refs)
    found: dict[PrefixRef, Target] = {}
    by_number = [ref for ref in wanted if ref.version is not None]
    by_alias = [ref for ref in wanted if ref.version is None]
    if by_number:
        numbers = [ref.version for ref in by_number]
        for row in connection.execute(BY_NUMBER, _names(by_number, numbers, reader)):
            version = PrefixVersion(*row)
            found[version.ref] = Target(version)
    if by_alias:
        names = [ref.alias for ref in by_alias]
        found |= dict(
            _target(*row) for row in connection.execute(BY_ALIAS, _names(by_alias, names, reader))
        )
    return found


def _target(*columns: Any) -> tuple[PrefixRef, Target]:
    """Build what an alias stands for from a row of `BY_ALIAS`."""
    about, (alias, rules_text, *canary) = columns[:NUM_COLUMNS], columns[NUM_COLUMNS:]
    stable = PrefixVersion(*about)
    ref = PrefixRef(stable.tenant, stable.task, alias=alias)
    plan, (started_at, *version) = canary[:NUM_CHOICES], canary[NUM_CHOICES:]
    rules = None if rules_text is None else AliasRuleSet.model_validate_json(rules_text)
    if started_at is None:
        return ref, Target(stable, rules=rules)
    found = PrefixVersion(stable.tenant, stable.task, *version)
    return ref, Target(stable, CanaryRoute(alias, found, CanaryPlan(*plan), started_at), rules)


def _names(
    refs: Collection[PrefixRef], wanted: Collection[object], reader: str | None
) -> dict[str, object]:
    return {
        "reader": reader,
        "tenants": list({ref.tenant for ref in refs}),
        "tasks": list({ref.task for ref in refs}),
        "wanted": list(set(wanted)),
    }


def find_summaries(
    connection: Connection, reader: str | None, tenant: str | None
) -> tuple[PrefixSummary, ...]:
    """List the tasks that the reader may see, of one tenant or of all, sorted by name."""
    only = () if tenant is None else (tenants.c.name == tenant,)
    numbers: dict[tuple[str, str], dict[int, ListedVersion]] = defaultdict(dict)
    targets: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for owner, task, number, *about in connection.execute(NUMBERS.where(*only), {"reader": reader}):
        numbers[owner, task][number] = ListedVersion(*about)
    for owner, task, name, number in connection.execute(TARGETS.where(*only), {"reader": reader}):
        targets[owner, task][name] = number
    return tuple(
        PrefixSummary(owner, task, found, targets[owner, task])
        for (owner, task), found in numbers.items()
    )


def find_public(connection: Connection) -> PrefixRef | None:
    """Find the first public task by name with an alias `live`, or None without public tasks."""
    row = connection.execute(PUBLIC).one_or_none()
    return None if row is None else PrefixRef(row.name, row.task, alias=DEFAULT_ALIAS)


def find_entry(connection: Connection, tenant: str, task: str, reader: str | None) -> PrefixEntry:
    """Read one task with its versions, aliases and their moves.

    Raises:
        PrefixNotFound: when the task does not exist or is hidden from the reader.
    """
    names = {"tenant": tenant, "task": task, "reader": reader}
    rows = connection.execute(VERSIONS, names).all()
    if not rows:
        raise not_found(f"{tenant}/{task}")
    key = {"prefix_id": rows[0].id}
    moves: dict[str, list[AliasMove]] = defaultdict(list)
    for alias, *columns in connection.execute(MOVES, key):
        moves[alias].append(AliasMove(*columns))
    running = {
        alias: canary_of(columns) for alias, *columns in connection.execute(CANARIES_OF_TASK, key)
    }
    return PrefixEntry(
        tenant,
        task,
        tuple(PrefixVersion(*row[:-1]) for row in rows),
        tuple(
            Alias(name, version, tuple(moves[name]), running.get(name))
            for name, version in connection.execute(ALIASES, key)
        ),
    )
