"""The checkable part of `docs/style.md`: finds phrases in pages, code and build files.

`python -m tests.prose README.md docs server` lists every finding with its file and line.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MAX_WORDS: Final = 40
"""Upper bound for a sentence anywhere; most sentences should have about 20."""

_BRITISH: Final = (
    (
        r"\w*(?:tokenis|initialis|normalis|serialis|optimis|organis|recognis|authoris|generalis|"
        r"factoris|parametris|reparametris|quantis|summaris|minimis|maximis|specialis|randomis|"
        r"synchronis|categoris|utilis|penalis|characteris|emphasis[ei]|capitalis)\w*"
    ),
    r"\w*(?:behaviour|colour|neighbour|favour|honour|flavour)\w*",
    r"(?:un)?label(?:led|ling)|model(?:led|ling)|travel(?:led|ling)|signal(?:led|ling)",
    r"centres?|artefacts?|catalogues?|whilst|judgements?|fulfil|learnt|spelt|analys(?:e|ed|es|ing)",
    r"licences?|defence|grey|programme",
)

_PHRASES: Final = (
    (
        r"(?<!there )\b(?:is|are|was|were) no (?!longer\b|more than\b|\w+er than\b|\d)[a-z`]",
        'write "is not a ..."',
    ),
    (r"\bof (?:no|any) use\b", 'write "is invalid" or "has no effect"'),
    (r"\bat the (?:most|least)\b", 'write "at most" or "at least"'),
    (r"(?:^|(?<=[.!?:;] ))(?-i:What|Who|Whoever|Whatever|Nor|So that)\b[^?]*?[.;]",
     "open the sentence with its subject"),
    (r", for (?:it|they|he|we|you|there|nobody|nothing|everything|this|these|those) (?!\w+ing)",
     'write "because"'),
    (r"\bmak(?:e|es|ing) room\b|\bmade room\b|\blongest unused\b", 'write "evict"'),
    (r"\bbesides? ", 'write "next to", "in addition to" or "compared with"'),
    (r"\bdoubts?\b", 'write "warning"'),
    (r"\btold (?:in|by the docs)\b|\basked was\b|\basked for was\b", "say who does what"),
    (r"\bhere and now\b|\bof late\b|\bby and by\b|\bas it were\b", "use plain words"),
    (r"\b(?:is|are) (?-i:none)\b", 'write "is not a ..." or "does not exist"'),
    *((rf"\b(?:{british})\b", "use the American spelling") for british in _BRITISH),
)  # fmt: skip

RULES: Final = tuple((re.compile(phrase, re.IGNORECASE), advice) for phrase, advice in _PHRASES)
"""Patterns of phrases, each with advice. A part in `(?-i:...)` is case-sensitive."""

_SENTENCE_END: Final = re.compile(r"(?<=[.!?])\s+|\n\s*\n|:\n")


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of prose and the line on which it starts."""

    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Finding:
    """A phrase that the style page rules out."""

    line: int
    phrase: str
    advice: str


def findings_in(passage: Passage) -> Iterator[Finding]:
    """Give every phrase of a passage that the style page rules out."""
    flat = re.sub(r"[ \t]*\n[ \t]*(?=\S)", " ", _without_code(passage.text))
    for pattern, advice in RULES:
        for found in pattern.finditer(flat):
            yield Finding(passage.line, found.group()[:60].strip(), advice)


def long_sentences_in(text: str, max_words: int = MAX_WORDS) -> list[str]:
    """Give the sentences that have more words than that."""
    sentences = _SENTENCE_END.split(_without_code(text))
    return [one for one in sentences if len(one.split()) > max_words]


def passages_of(path: Path) -> Iterator[Passage]:
    """Give the prose of a file: paragraphs of Markdown, strings of Python, comments of others."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        yield from _markdown(text)
    elif path.suffix == ".py":
        yield from _strings(text)
        yield from _comments(text)
    else:
        yield from _build_comments(text)


def _markdown(text: str) -> Iterator[Passage]:
    line = 1
    is_code = False
    for block in re.split(r"(\n\s*\n|^```.*$)", text, flags=re.MULTILINE):
        if block.startswith("```"):
            is_code = not is_code
        elif not is_code and block.strip() and not block.lstrip().startswith("|"):
            yield from (
                Passage(item, line) for item in re.split(r"\n(?=\s*(?:[-*]|\d+\.) )", block)
            )
        elif not is_code and block.strip():
            yield from (
                Passage(cell, line + row)
                for row, cells in enumerate(block.splitlines())
                for cell in cells.split("|")
            )
        line += block.count("\n")


def _strings(text: str) -> Iterator[Passage]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.JoinedStr):
            yield Passage(text_of(node), node.lineno)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield Passage(node.value, node.lineno)


def text_of(node: ast.JoinedStr) -> str:
    """Give the text of an f-string, with X for each value that it fills in."""
    parts = (part.value if isinstance(part, ast.Constant) else "X" for part in node.values)
    return "".join(map(str, parts))


def _comments(text: str) -> Iterator[Passage]:
    lines: list[str] = []
    start = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and not re.match(
            r"# (?:noqa|fmt|type|ruff)\b", token.string
        ):
            start = start if lines else token.start[0]
            lines.append(token.string.lstrip("# "))
        elif token.type not in {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}:
            if lines:
                yield Passage("\n".join(lines), start)
            lines = []


def _build_comments(text: str) -> Iterator[Passage]:
    """Give the comments of TOML, a Makefile or a Dockerfile: whole lines together, others alone."""
    for found in re.finditer(r"^#.*(?:\n#.*)*|(?<=[ \t])#+ .*", text, re.MULTILINE):
        comment = re.sub(r"^#+ ?", "", found.group(), flags=re.MULTILINE)
        yield Passage(comment, text.count("\n", 0, found.start()) + 1)


def _without_code(text: str) -> str:
    return re.sub(r"`[^`]*`", "X", text)


def files_under(path: Path) -> Iterator[Path]:
    """Give a file itself, or the Markdown and Python files of a folder.

    Hidden folders within it are left out: they hold what tools install, such as the environments
    of the benchmark.
    """
    if path.is_file():
        yield path
        return
    for file in sorted(path.rglob("*")):
        folders = file.relative_to(path).parts[:-1]
        if file.suffix in {".md", ".py"} and not any(name.startswith(".") for name in folders):
            yield file


def report(path: Path) -> Iterator[str]:
    """Describe every finding of a file in one line."""
    for passage in passages_of(path):
        for found in findings_in(passage):
            yield f"{path}:{found.line}: {found.phrase!r}: {found.advice}"
        for sentence in long_sentences_in(passage.text):
            yield f"{path}:{passage.line}: {len(sentence.split())} words: {sentence[:60]!r}"


def main() -> None:
    """List the findings of the files and folders on the command line."""
    lines = [
        line
        for argument in sys.argv[1:]
        for path in files_under(Path(argument))
        for line in report(path)
    ]
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.exit(bool(lines))


if __name__ == "__main__":
    main()
