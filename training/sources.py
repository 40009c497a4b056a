"""Sources of labeled rows: a file, a folder, or a split of a dataset of the hub."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import PlainSerializer, PlainValidator

_HUB: Final = "hub:"
_LINES: Final = {".jsonl", ".csv", ".tsv", ".txt", ".conll", ".conllx", ".bio", ".iob"}


@dataclass(frozen=True, slots=True)
class HubSource:
    """A split of a dataset that the package `datasets` loads by name. `config` may be empty."""

    path: str
    config: str
    split: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `hub:PATH:CONFIG:SPLIT`.

        Raises:
            ValueError: if the text has another form.
        """
        parts = text.removeprefix(_HUB).split(":")
        if len(parts) != 3 or not parts[0] or not parts[2]:
            raise ValueError(
                f"Invalid source {text!r}: expected hub:PATH:CONFIG:SPLIT. CONFIG may be empty, as "
                "in hub:ag_news::train"
            )
        return cls(*parts)

    @property
    def name(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return f"{_HUB}{self.path}:{self.config}:{self.split}"


Source = Path | HubSource


def is_hub(text: str) -> bool:
    """Return whether a text names a dataset of the hub instead of a file."""
    return text.startswith(_HUB)


def parse_source(text: str) -> Source:
    """Parse a path, or `hub:PATH:CONFIG:SPLIT`.

    Raises:
        ValueError: if a text that begins with `hub:` has another form.
    """
    return HubSource.parse(text) if is_hub(text) else Path(text)


def place_in(source: Source) -> str:
    """Return what the row numbers of a source count: `line` or `row`."""
    return "line" if isinstance(source, Path) and source.suffix.lower() in _LINES else "row"


def _as_source(value: Any) -> Source:
    if isinstance(value, str):
        return parse_source(value)
    if isinstance(value, Source):
        return value
    raise ValueError(f"expected a path or hub:PATH:CONFIG:SPLIT, found {value!r:.80}")


SourceField = Annotated[Source, PlainValidator(_as_source), PlainSerializer(str)]
"""A source as a setting. It is a string in files and on the command line."""
