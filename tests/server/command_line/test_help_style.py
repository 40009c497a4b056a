"""Every text of `--help` keeps to the checkable part of the style page."""

import inspect
from typing import Any

import pytest

from tests.prose import Passage, findings_in, long_sentences_in
from tests.server.command_line.walk import commands, groups

_MAX_WORDS = 25


def texts() -> list[tuple[str, str]]:
    """Give each help text with the name of its command and flag."""
    found = []
    for name, command in [*groups(), *commands()]:
        found.append((name, inspect.cleandoc(command.help)))
        found += [(f"{name} {one.opts[0]}", help_of(one)) for one in command.params]
    return found


def help_of(parameter: Any) -> str:
    return "" if getattr(parameter, "hidden", False) else parameter.help or ""


def test_every_command_and_every_flag_in_sight_has_a_help_text() -> None:
    named = {name for name, text in texts() if text}
    hidden = {
        f"{name} {one.opts[0]}"
        for name, command in commands()
        for one in command.params
        if getattr(one, "hidden", False)
    }
    assert {name for name, _ in texts()} - named == hidden
    assert "polyprefix train --learning-rate" in named


@pytest.mark.parametrize(("name", "text"), texts())
def test_a_help_text_is_plain_english(name: str, text: str) -> None:
    assert list(findings_in(Passage(text, 1))) == []
    assert long_sentences_in(text, _MAX_WORDS) == []
    assert not text or text.rstrip(".").endswith("...") or text.endswith((".", ",..."))


def test_the_list_of_commands_shows_whole_sentences() -> None:
    for _, command in commands():
        assert not command.get_short_help_str(limit=65).endswith("..."), command.help
