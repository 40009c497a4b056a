"""The `polyprefix` commands that pages show have names, options and arguments that exist."""

import re
import shlex
from collections.abc import Iterator
from itertools import takewhile
from typing import Final

import pytest

from tests.server.command_line.walk import commands
from tests.test_docs_paths import PAGES, ROOT

COMMANDS: Final = dict(commands())


def commands_in(text: str) -> Iterator[str]:
    """Give each `polyprefix` command of the shell examples of a page, with its arguments."""
    for block in re.findall(r"^ *```sh\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            found = re.match(
                r" *(?:export )?(?:\w+=\S*?\$\(|(?:\w+=\S* )*)(?:\S*/)?polyprefix ", line
            )
            if found:
                yield shlex.join(["polyprefix", *_up_to_operator(line[found.end() :])])


def _up_to_operator(line: str) -> Iterator[str]:
    """Give the words of a shell command, without pipes, redirections and what follows."""
    words = shlex.shlex(line, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    return takewhile(lambda word: not set(word) <= set("|&;<>()"), words)


def parse(line: str) -> None:
    """Parse a command without running it; raise if something about it is wrong."""
    name = next((name for name in COMMANDS if f"{line} ".startswith(f"{name} ")), None)
    assert name is not None, f"not a command: {line}"
    given = COMMANDS[name].make_context(name, shlex.split(line)[len(name.split()) :]).params
    if name == "polyprefix train":
        assert bool(given["family"]) == bool(given["dataset"]), "--task needs --dataset"


@pytest.mark.parametrize(
    ("page", "line"),
    [
        (str(page.relative_to(ROOT)), line)
        for page in PAGES
        for line in commands_in(page.read_text())
    ],
)
def test_every_command_of_a_page_is_one(page: str, line: str) -> None:
    parse(line)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("polyprefix train --task acme/spam --train rows.csv", "--task needs --dataset"),
        ("polyprefix train acme/spam --trian rows.csv", "No such option"),
        ("polyprefix tarin acme/spam", "not a command"),
    ],
)
def test_wrong_commands_are_found(line: str, problem: str) -> None:
    with pytest.raises(Exception, match=problem):
        parse(line)


def test_commands_of_several_lines_and_in_variables_are_found() -> None:
    page = """```sh
export KEY=$(.venv/bin/polyprefix key create acme)
A=b polyprefix train \\
    acme/spam --threshold 'precision>=0.95' > log  # a comment
```"""
    assert list(commands_in(page)) == [
        "polyprefix key create acme",
        "polyprefix train acme/spam --threshold 'precision>=0.95'",
    ]
