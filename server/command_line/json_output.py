"""The option `--json`, and how values of the registry are printed with it."""

# ruff: noqa: PLC0415 - `--help` needs no JSON

from datetime import datetime
from typing import Annotated, Any

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def print_json(fields: Any) -> None:
    """Print a value as JSON. Times are in ISO 8601."""
    import json

    typer.echo(json.dumps(fields, default=_as_text, indent=2))


def _as_text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
