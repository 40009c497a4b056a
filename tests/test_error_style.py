"""Holds the texts of errors to the style page: each string within a `raise` statement.

The phrases of single words are checked here only: elsewhere a string without spaces may be a name.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.prose import Passage, findings_in, long_sentences_in, text_of

ROOT = Path(__file__).parent.parent
FOLDERS = ("prefixes", "server", "training", "client")


def error_texts(path: Path) -> Iterator[Passage]:
    """The strings of a module's `raise` statements, with X for what an f-string fills in."""
    for statement in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(statement, ast.Raise) and statement.exc is not None:
            yield from _strings(statement.exc)


def _strings(node: ast.AST) -> Iterator[Passage]:
    if isinstance(node, ast.JoinedStr):
        yield Passage(text_of(node), node.lineno)
    elif isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            yield Passage(node.value, node.lineno)
    else:
        for child in ast.iter_child_nodes(node):
            yield from _strings(child)


@pytest.mark.parametrize("folder", FOLDERS)
def test_error_texts_keep_to_the_style_page(folder: str) -> None:
    num_texts = 0
    findings = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        for text in error_texts(path):
            num_texts += 1
            where = f"{path.relative_to(ROOT)}:{text.line}"
            findings += [f"{where}: {one.phrase!r}: {one.advice}" for one in findings_in(text)]
            findings += [f"{where}: too long: {one!r}" for one in long_sentences_in(text.text)]
    assert num_texts > 15
    assert not findings, "\n".join(findings)


def test_texts_of_every_shape_are_found(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        'name = "x"\n'
        'if name:\n    raise ValueError("one " "text")\n'
        'raise KeyError([f"{name} is not a name", "last"]) from None\n'
        'print("not an error")\n'
    )

    assert sorted(error_texts(module), key=lambda text: text.line) == [
        Passage("one text", 3), Passage("X is not a name", 4), Passage("last", 4),
    ]  # fmt: skip
