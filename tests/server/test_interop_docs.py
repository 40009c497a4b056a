"""The page on other programs names what the program reads, no more and no less."""

import re
from pathlib import Path

from typer.main import get_command

from prefixes.interop import adapterhub, peft_format, ptuning_v2_classes
from server.command_line.conversion import Source
from server.command_line.main import app

PAGE = (Path(__file__).parents[2] / "docs" / "interop.md").read_text()


def test_every_source_has_its_row_with_its_architectures() -> None:
    rows = dict(re.findall(r"^\| `([\w-]+)` \| [^|]* \| ([^|]*) \|", PAGE, re.MULTILINE))
    named = {source: set(re.findall(r"`([\w-]+)`", cell)) for source, cell in rows.items()}

    assert named == {
        Source.PTUNING_V2: set(ptuning_v2_classes.MODEL_TYPES.values()),
        Source.PEFT: peft_format.MODEL_TYPES,
        Source.ADAPTERHUB: adapterhub.MODEL_TYPES,
    }


def test_every_option_of_an_import_is_on_the_page() -> None:
    command = get_command(app).commands["import"]  # type: ignore[attr-defined]
    options = {flag for item in command.params for flag in item.opts if flag.startswith("--")}

    assert {option for option in options if option not in PAGE} == set()
