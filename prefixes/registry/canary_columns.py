"""The columns of a canary, and how a row of them becomes a value."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final

from sqlalchemy import select

from prefixes.registry.alias_values import Canary, CanaryPlan
from prefixes.registry.tables import canaries

PLAN_COLUMNS: Final = tuple(canaries.c[field.name] for field in fields(CanaryPlan))

CANARIES: Final = select(
    canaries.c.alias,
    *PLAN_COLUMNS,
    canaries.c.revision,
    canaries.c.started_at,
    canaries.c.started_by,
)
"""Select the alias of each canary, and what `canary_of` takes."""


def canary_of(columns: Sequence[Any]) -> Canary:
    """Build a canary from the columns of `CANARIES` after the alias."""
    return Canary(CanaryPlan(*columns[: len(PLAN_COLUMNS)]), *columns[len(PLAN_COLUMNS) :])
