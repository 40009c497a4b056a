"""Labels as flags: names separated by commas, or a file of names and what they mean."""

import json
from pathlib import Path
from typing import Any, Final

from training.errors import PlanRejected

_SUFFIXES: Final = (".txt", ".json")


def label_settings(text: str) -> dict[str, Any]:
    """Read the value of `--labels`; return the settings `labels` and, if given, descriptions.

    A file has one name per line (`.txt`), or a JSON array of names, or a JSON object of names and
    descriptions (`.json`). Names with commas need a file.

    Raises:
        PlanRejected: when the file cannot be read, or a name is empty.
    """
    is_file = "," not in text and text.strip().lower().endswith(_SUFFIXES)
    names, descriptions = _read(Path(text.strip())) if is_file else (text.split(","), {})
    stripped = [name.strip() for name in names]
    if "" in stripped:
        raise PlanRejected(
            f"--labels: label {stripped.index('') + 1} of {len(stripped)} is empty. Give every "
            "label a name."
        )
    return {"labels": stripped, **({"label_descriptions": descriptions} if descriptions else {})}


def _read(path: Path) -> tuple[list[str], dict[str, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        found = json.loads(text) if path.suffix.lower() == ".json" else _lines(text)
    except (OSError, ValueError) as error:
        raise PlanRejected(f"--labels: cannot read the file {path}: {error}") from error
    described = found.items() if isinstance(found, dict) else [(name, "") for name in _list(found)]
    if not all(isinstance(part, str) for pair in described for part in pair) or not described:
        raise PlanRejected(
            f"--labels: {path} must hold an array of names, or an object of names and descriptions."
        )
    return [name for name, _ in described], {
        name.strip(): description.strip() for name, description in described if description.strip()
    }


def _lines(text: str) -> list[str]:
    """Split a text into lines. Blank lines are skipped."""
    return [line for line in text.splitlines() if line.strip()]


def _list(found: Any) -> list[Any]:
    return found if isinstance(found, list) else []
