"""The statements that look up versions, aliases and tasks, with the condition of access.

Access control is here alone. A reader sees the prefixes of their own tenant. Of tenants that are
neither suspended nor deleted, a reader also sees public prefixes and those that are shared with the
reader. Every query contains that condition.
"""

from typing import Any

from sqlalchemy import BindParameter, ColumnElement, and_, bindparam, or_, select

from prefixes.names import DEFAULT_ALIAS
from prefixes.registry.canary_columns import CANARIES, PLAN_COLUMNS
from prefixes.registry.tables import (
    alias_moves,
    aliases,
    canaries,
    grants,
    prefixes,
    tenants,
    versions,
)

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
NUM_COLUMNS = len(_VERSION_COLUMNS)
NUM_CHOICES = len(PLAN_COLUMNS)
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
BY_NUMBER = (
    select(*_VERSION_COLUMNS)
    .select_from(_ALL_VERSIONS)
    .where(_VISIBLE, *_NAMED, _one_of(versions.c.number, "wanted"))
)
BY_ALIAS = (
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

NUMBERS = (
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
TARGETS = (
    select(tenants.c.name, prefixes.c.task, aliases.c.name, aliases.c.version)
    .select_from(_ALL_TARGETS)
    .where(_VISIBLE)
    .order_by(tenants.c.name, prefixes.c.task, aliases.c.name)
)
PUBLIC = (
    select(tenants.c.name, prefixes.c.task)
    .select_from(_ALL_TARGETS)
    .where(_EXISTS, _IS_ACTIVE, _IS_PUBLIC, aliases.c.name == DEFAULT_ALIAS)
    .order_by(tenants.c.name, prefixes.c.task)
    .limit(1)
)
VERSIONS = (
    select(*_VERSION_COLUMNS, prefixes.c.id)
    .select_from(_ALL_VERSIONS)
    .where(_VISIBLE, *_ONE_TASK)
    .order_by(versions.c.number)
)
ALIASES = (
    select(aliases.c.name, aliases.c.version)
    .where(aliases.c.prefix_id == bindparam("prefix_id"))
    .order_by(aliases.c.name)
)
CANARIES_OF_TASK = CANARIES.where(canaries.c.prefix_id == bindparam("prefix_id"))
MOVES = (
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
