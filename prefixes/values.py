"""Value: the frozen, bounded base class of descriptions that are read from files."""

from functools import partial
from typing import Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

_MAX_FIELDS: Final = 100


class Value(BaseModel):
    """An immutable description that rejects unknown fields, and rejects very many of them early."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _is_bounded(cls, data: object) -> object:
        return _bounded(data, _MAX_FIELDS)


def at_most(limit: int) -> BeforeValidator:
    """Limit the size of a collection before its entries are validated.

    Pydantic records every invalid entry before it checks the length. A file of one megabyte could
    make it allocate several hundred.
    """
    return BeforeValidator(partial(_bounded, limit=limit))


def _bounded(data: Any, limit: int) -> object:
    if isinstance(data, list | tuple | dict) and len(data) > limit:
        raise ValueError(f"at most {limit} entries are allowed, found {len(data)}")
    return data
