"""The command to run after one that ended well."""

import shlex

import typer


def suggest(*command: str, as_json: bool = False) -> None:
    """Print the next `polyprefix` command to standard error. With `--json`, print nothing."""
    if not as_json:
        typer.echo(f"Next: polyprefix {shlex.join(command)}", err=True)
