"""The command to run after one that ended well."""

import shlex
import shutil
import sys
from pathlib import Path

import typer


def suggest(*command: str, as_json: bool = False) -> None:
    """Print the next `polyprefix` command to standard error. With `--json`, print nothing."""
    if not as_json:
        typer.echo(f"Next: {program()} {shlex.join(command)}", err=True)


def program() -> str:
    """Return what to type for `polyprefix`: its path if the search path does not have it."""
    called = Path(sys.argv[0])
    is_found = called.name != "polyprefix" or shutil.which("polyprefix") is not None
    return "polyprefix" if is_found else shlex.quote(str(called))
