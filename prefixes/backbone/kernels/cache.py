"""KernelCache: a file with the choices of earlier starts."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from prefixes.atomic import write_atomically
from prefixes.errors import StoreUnavailable

_FORMAT: Final = 1
_MAX_CHOICES: Final = 64

Facts = Mapping[str, str]
"""Everything that a choice depends on: machine, weights, operation and candidates."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KernelCache:
    """The choices in a file; without a path, nothing is stored.

    A cache never fails a start. A file that cannot be read or written is reported in the log.
    """

    path: Path | None

    def find(self, facts: Facts, names: Sequence[str]) -> str | None:
        """Return the choice for exactly these facts, if it is one of `names`."""
        for choice in self._read():
            if choice["facts"] == facts and choice["chosen"] in names:
                return str(choice["chosen"])
        return None

    def store(self, facts: Facts, chosen: str) -> None:
        """Add a choice, or replace the one for the same facts. The oldest ones are dropped.

        Of two processes that write at the same time, one may lose its choice and measure again.
        """
        if self.path is None:
            return
        others = [choice for choice in self._read() if choice["facts"] != facts]
        kept = [*others, {"facts": dict(facts), "chosen": chosen}][-_MAX_CHOICES:]
        text = json.dumps({"format": _FORMAT, "choices": kept}, indent=1) + "\n"
        try:
            write_atomically(self.path, text, is_durable=False)
        except StoreUnavailable as error:
            _log.warning(
                "cannot cache the choice of kernels; every start measures again: %s", error
            )

    def _read(self) -> list[dict[str, Any]]:
        if self.path is None:
            return []
        try:
            return _choices(json.loads(self.path.read_bytes()))
        except FileNotFoundError:
            return []
        except (OSError, ValueError, RecursionError) as error:
            _log.warning("the cache of kernels %s is ignored: %s", self.path, error)
            return []


def _choices(content: Any) -> list[dict[str, Any]]:
    """Return the choices of a file.

    Raises:
        ValueError: when another program or version wrote it.
    """
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise ValueError(f"expected format {_FORMAT}")
    choices = content.get("choices")
    if not isinstance(choices, list) or not all(map(_is_choice, choices)):
        raise ValueError("expected a list of choices with facts")
    return choices


def _is_choice(item: object) -> bool:
    return (
        isinstance(item, dict)
        and isinstance(item.get("facts"), dict)
        and isinstance(item.get("chosen"), str)
    )
