"""Queries of the registry: versions by reference, lists of tasks, and single tasks.

Access control is here alone. A reader sees the prefixes of their own tenant. Of tenants that are
neither suspended nor deleted, a reader also sees public prefixes and those that are shared with the
reader. Every query contains that condition.
"""

from collections import defaultdict
from collections.abc import Collection
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Connection, and_, bindparam, or_, select

from prefixes.errors import PrefixNotFound
from prefixes.names import DEFAULT_ALIAS, PrefixRef
from prefixes.registry.canary_columns import CANARIES, PLAN_COLUMNS, canary_of
from prefixes.registry.routing import CanaryRoute, Target
from prefixes.registry.tables import (
    alias_moves,
    aliases,
    canaries,
    grants,
    prefixes,
    tenants,
    versions,
)
from prefixes.registry.values import (
    Alias,
    AliasMove,
    CanaryPlan,
    ListedVersion,
    PrefixEntry,
    PrefixSummary,
    PrefixVersion,
)
from prefixes.spec import AliasRuleSet

_VERSION_COLUMNS = (
    tenants.c.name,
    prefixes.c.task,
    versions.c.number,
    versions.c.digest,
    versions.c.size_bytes,
    versions.c.created_at,
    versions.c.created_by,
    versions.c.task_type,
)
_NUM_COLUMNS = len(_VERSION_COLUMNS)
_NUM_CHOICES = len(PLAN_COLUMNS)
_ALL_VERSIONS = tenants.join(prefixes, prefixes.c.tenant_id == tenants.c.id).join(
    versions, versions.c.prefix_id == prefixes.c.id
)
_ALL_TARGETS = _ALL_VERSIONS.join(
    aliases,
    and_(aliases.c.prefix_id == versions.c.prefix_id, aliases.c.version == versions.c.number),
)
_CANARY_VERSIONS = versions.alias("canary_versions")
_ALL_ROUTES = _ALL_TARGETS.outerjoin(
    canaries,
    and_(canaries.c.prefix_id == aliases.c.prefix_id, canaries.c.alias == aliases.c.name),
).outerjoin(
    _CANARY_VERSIONS,
    and_(
        _CANARY_VERSIONS.c.prefix_id == canaries.c.prefix_id,
        _CANARY_VERSIONS.c.number == canaries.c.version,
    ),
)
_IS_ACTIVE = and_(tenants.c.suspended_at.is_(None), tenants.c.deleted_at.is_(None))
# A tenant that is suspended or deleted has no valid key: only operators read its own prefixes.
_READER: BindParameter[str] = bindparam("reader")
_EXISTS = prefixes.c.deleted_at.is_(None)
_IS_PUBLIC = or_(tenants.c.is_public, prefixes.c.is_public)
_IS_SHARED = (
    select(grants.c.reader)
    .where(grants.c.prefix_id == prefixes.c.id, grants.c.reader == _READER)
    .correlate(prefixes)
    .exists()
)
_VISIBLE = and_(
    _EXISTS,
    or_(tenants.c.name == _READER, and_(_IS_ACTIVE, or_(_IS_PUBLIC, _IS_SHARED))),
)


def _one_of(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    return column.in_(bindparam(name, expanding=True))


_ONE_TASK = (tenants.c.name == bindparam("tenant"), prefixes.c.task == bindparam("task"))

# A query for several references also selects every other combination of their tenants and tasks;
# the caller filters. In exchange, every step uses an index.
_NAMED = (_one_of(tenants.c.name, "tenants"), _one_of(prefixes.c.task, "tasks"))
_BY_NUMBER = (
    select(*_VERSION_COLUMNS)
    .select_from(_ALL_VERSIONS)
    .where(_VISIBLE, *_NAMED, _one_of(versions.c.number, "wanted"))
)
_BY_ALIAS = (
    select(
        *_VERSION_COLUMNS,
        aliases.c.name,
        aliases.c.rules,
        *PLAN_COLUMNS,
        canaries.c.started_at,
        _CANARY_VERSIONS.c.number,
        _CANARY_VERSIONS.c.digest,
        _CANARY_VERSIONS.c.size_bytes,
        _CANARY_VERSIONS.c.created_at,
        _CANARY_VERSIONS.c.created_by,
        _CANARY_VERSIONS.c.task_type,
    )
    .select_from(_ALL_ROUTES)
    .where(_VISIBLE, *_NAMED, _one_of(aliases.c.name, "wanted"))
)

_NUMBERS = (
    select(
        tenants.c.name,
        prefixes.c.task,
        versions.c.number,
        versions.c.created_at,
        versions.c.task_type,
    )
    .select_from(_ALL_VERSIONS)
    .where(_VISIBLE)
    .order_by(tenants.c.name, prefixes.c.task, versions.c.number)
)
_TARGETS = (
    select(tenants.c.name, prefixes.c.task, aliases.c.name, aliases.c.version)
    .select_from(_ALL_TARGETS)
    .where(_VISIBLE)
    .order_by(tenants.c.name, prefixes.c.task, aliases.c.name)
)
_PUBLIC = (
    select(tenants.c.name, prefixes.c.task)
    .select_from(_ALL_TARGETS)
    .where(_EXISTS, _IS_ACTIVE, _IS_PUBLIC, aliases.c.name == DEFAULT_ALIAS)
    .order_by(tenants.c.name, prefixes.c.task)
    .limit(1)
)
_VERSIONS = (
    select(*_VERSION_COLUMNS, prefixes.c.id)
    .select_from(_ALL_VERSIONS)
    .where(_VISIBLE, *_ONE_TASK)
    .order_by(versions.c.number)
)
_ALIASES = (
    select(aliases.c.name, aliases.c.version)
    .where(aliases.c.prefix_id == bindparam("prefix_id"))
    .order_by(aliases.c.name)
)
_CANARIES = CANARIES.where(canaries.c.prefix_id == bindparam("prefix_id"))
_MOVES = (
    select(
        alias_moves.c.alias,
        alias_moves.c.kind,
        alias_moves.c.from_version,
        alias_moves.c.to_version,
        alias_moves.c.moved_at,
        alias_moves.c.moved_by,
        alias_moves.c.is_undone,
        alias_moves.c.percent,
        alias_moves.c.reason,
    )
    .where(alias_moves.c.prefix_id == bindparam("prefix_id"))
    .order_by(alias_moves.c.id)
)


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
        for row in connection.execute(_BY_NUMBER, _names(by_number, numbers, reader)):
            version = PrefixVersion(*row)
            found[version.ref] = Target(version)
    if by_alias:
        names = [ref.alias for ref in by_alias]
        found |= dict(
            _target(*row) for row in connection.execute(_BY_ALIAS, _names(by_alias, names, reader))
        )
    return found


def _target(*columns: Any) -> tuple[PrefixRef, Target]:
    """Build what an alias stands for from a row of `_BY_ALIAS`."""
    about, (alias, rules_text, *canary) = columns[:_NUM_COLUMNS], columns[_NUM_COLUMNS:]
    stable = PrefixVersion(*about)
    ref = PrefixRef(stable.tenant, stable.task, alias=alias)
    plan, (started_at, *version) = canary[:_NUM_CHOICES], canary[_NUM_CHOICES:]
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
    for owner, task, number, *about in connection.execute(
        _NUMBERS.where(*only), {"reader": reader}
    ):
        numbers[owner, task][number] = ListedVersion(*about)
    for owner, task, name, number in connection.execute(_TARGETS.where(*only), {"reader": reader}):
        targets[owner, task][name] = number
    return tuple(
        PrefixSummary(owner, task, found, targets[owner, task])
        for (owner, task), found in numbers.items()
    )


def find_public(connection: Connection) -> PrefixRef | None:
    """Find the first public task by name with an alias `live`, or None without public tasks."""
    row = connection.execute(_PUBLIC).one_or_none()
    return None if row is None else PrefixRef(row.name, row.task, alias=DEFAULT_ALIAS)


def find_entry(connection: Connection, tenant: str, task: str, reader: str | None) -> PrefixEntry:
    """Read one task with its versions, aliases and their moves.

    Raises:
        PrefixNotFound: when the task does not exist or is hidden from the reader.
    """
    names = {"tenant": tenant, "task": task, "reader": reader}
    rows = connection.execute(_VERSIONS, names).all()
    if not rows:
        raise not_found(f"{tenant}/{task}")
    key = {"prefix_id": rows[0].id}
    moves: dict[str, list[AliasMove]] = defaultdict(list)
    for alias, *columns in connection.execute(_MOVES, key):
        moves[alias].append(AliasMove(*columns))
    running = {alias: canary_of(columns) for alias, *columns in connection.execute(_CANARIES, key)}
    return PrefixEntry(
        tenant,
        task,
        tuple(PrefixVersion(*row[:-1]) for row in rows),
        tuple(
            Alias(name, version, tuple(moves[name]), running.get(name))
            for name, version in connection.execute(_ALIASES, key)
        ),
    )
