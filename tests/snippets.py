"""Runs the examples of a page as a reader would: in order, in one shell, against a server."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from polyprefix_client.login import Login, write_login

ROOT: Final = Path(__file__).parents[1]
URL: Final = "http://127.0.0.1:8000"
NOT_RUN: Final = (
    "make ",
    ". .venv/",
    "polyprefix serve",
    "docker ",
    "text-embeddings-router",
    "vllm ",
)
"""How blocks begin that install or start something, or need a program of someone else."""

_BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_MARK: Final = "=== block {} ==="


@dataclass(frozen=True, slots=True)
class Example:
    """A block of commands or code, and the output or the JSON that the page shows below it."""

    language: str
    source: str
    shown: str | None
    shown_json: str | None = None


def examples_of(page: Path, *, omitted: tuple[str, ...] = ()) -> Iterator[Example]:
    """Give the blocks of a page that can run: `sh` and `python`, each with what it shows.

    Those that begin with one of `omitted` are left out.
    """
    blocks = _BLOCK.findall(page.read_text(encoding="utf-8"))
    for (language, source), (following, text) in pairwise([*blocks, ("", "")]):
        if language in {"sh", "python"} and not source.startswith((*NOT_RUN, *omitted)):
            shown = {following: text}
            yield Example(language, source, shown.get("text"), shown.get("json"))


def run_page(
    page: Path,
    folder: Path,
    url: str,
    store: Path,
    *,
    omitted: tuple[str, ...] = (),
    variables: Mapping[str, str] | None = None,
) -> list[tuple[Example, str]]:
    """Run the examples of a page in one shell, in a folder of their own.

    Args:
        page: the page.
        folder: an empty folder, in which `examples/` is that of the repository.
        url: replaces the URL that pages name.
        store: the store folder of the server at that URL.
        omitted: how blocks begin that do not run, in addition to `NOT_RUN`.
        variables: further variables of the environment.

    Returns:
        Each example with its output.
    """
    (folder / "examples").symlink_to(ROOT / "examples")
    (folder / "bin").mkdir()
    _write_command(folder / "bin" / "polyprefix", "-P -m server")
    _write_command(folder / "bin" / "python", "")
    _write_login(folder / "config", url)
    (folder / ".venv").mkdir()
    (folder / ".venv" / "bin").symlink_to(folder / "bin")
    examples = list(examples_of(page, omitted=omitted))
    script = "\n".join(_lines(example, number) for number, example in enumerate(examples))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script.replace(URL, url)],
        cwd=folder,
        env={**os.environ, **_variables(folder, store), **(variables or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{page.name}: {done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    outputs = re.split(r"=== block \d+ ===\n", done.stdout)[1:]
    return list(zip(examples, outputs, strict=True))


def matches(shown: str, output: str) -> bool:
    """Whether an output has the lines that a page shows, in order. `...` stands for anything."""
    lines = [
        re.escape(line.strip()).replace(r"\.\.\.", ".*") for line in shown.splitlines() if line
    ]
    return re.search(r"\s*\n(?:.*\n)*?\s*".join(lines), output) is not None


def _lines(example: Example, number: int) -> str:
    mark = f"echo {shlex.quote(_MARK.format(number))}"
    if example.language == "python":
        return f"{mark}\npython - <<'END_OF_CODE'\n{example.source}END_OF_CODE"
    return f"{mark}\n{example.source}"


def _write_command(path: Path, arguments: str) -> None:
    path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {arguments} "$@"\n')
    path.chmod(0o755)


def _write_login(folder: Path, url: str) -> None:
    """Make the URL the default of commands on servers. A variable would select a server for all."""
    write_login(Login(url, ""), folder / "polyprefix" / "login.json")


def _variables(folder: Path, store: Path) -> Mapping[str, str]:
    return {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "POLYPREFIX_STORE_FOLDER": str(store),
        "OMP_NUM_THREADS": "1",
    }
