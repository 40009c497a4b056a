"""Values that readers of batch files return, whatever the format."""

from dataclasses import dataclass
from typing import Any, Final, Protocol

MAX_ROW_BYTES: Final = 2**20
_MAX_MODEL: Final = 300
"""Length at which names of models are cut: longer than any valid one, so a cut one is invalid."""


@dataclass(frozen=True, slots=True)
class InputRow:
    """One row: its JSON value, or else what is wrong with it. The next row begins at `end`.

    `has_crashed` says that the process was killed each time the row ran.
    """

    value: Any
    defect: str | None
    end: int
    has_crashed: bool = False


@dataclass(frozen=True, slots=True)
class FileSummary:
    """The number of rows, and the different models that they name; None for rows without one."""

    num_rows: int
    models: frozenset[str | None]


class RowReader(Protocol):
    """Reads the rows of a file in order. Belongs to one thread at a time."""

    def read(self, count: int) -> list[InputRow]:
        """Read the next rows, fewer at the end of the file, and none after it."""
        ...

    def close(self) -> None: ...


def model_of(value: Any) -> str | None:
    """Return the model that a row names; None if it names none."""
    found = value.get("model") if isinstance(value, dict) else None
    return model_name(found) if isinstance(found, str) else None


def model_name(name: str | None) -> str | None:
    """Return a name as it is kept while the file runs: a row may have a megabyte of it."""
    return None if name is None else name[:_MAX_MODEL]
