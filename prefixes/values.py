"""Value: the base of every description read from a file, frozen and bounded."""

from functools import partial
from typing import Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

_MAX_FIELDS: Final = 100


class Value(BaseModel):
    """A description that cannot change, knows all of its fields, and refuses a flood of others."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _is_bounded(cls, data: object) -> object:
        return _bounded(data, _MAX_FIELDS)


def at_most(limit: int) -> BeforeValidator:
    """Bound a collection before its entries are looked at.

    Pydantic notes every wrong entry before it counts them; a file of a megabyte could make it
    keep several hundred.
    """
    return BeforeValidator(partial(_bounded, limit=limit))


def _bounded(data: Any, limit: int) -> object:
    if isinstance(data, list | tuple | dict) and len(data) > limit:
        raise ValueError(f"at most {limit} entries are allowed, {len(data)} were given")
    return data
