"""The prose of pages, docstrings, comments, messages and build files keeps to the style page."""

from pathlib import Path

import pytest

from tests.prose import (
    MAX_WORDS,
    RULES,
    Finding,
    files_under,
    findings_in,
    long_sentences_in,
    passages_of,
)

ROOT = Path(__file__).parents[1]
PAGES = sorted((*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")))
MODULES = [
    path
    for name in (
        *("prefixes", "server", "training", "client"),
        *("bench", "examples", "tests", "website"),
    )
    for path in files_under(ROOT / name)
    if path.suffix == ".py"
]
BUILD_FILES = [
    ROOT / name
    for name in ("Makefile", "Dockerfile", "compose.yaml", "mkdocs.yml", "pyproject.toml")
]
EXEMPT = {
    ROOT / "prefixes" / "made_up.py",  # samples of what people write
    ROOT / "docs" / "style.md",
    Path(__file__),
}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize(
    "path",
    [path for path in PAGES + MODULES + BUILD_FILES if path not in EXEMPT],
    ids=name_of,
)
def test_a_file_has_no_phrase_that_the_style_page_rules_out(path: Path) -> None:
    found = [
        (finding.line, finding.phrase, finding.advice)
        for passage in passages_of(path)
        for finding in findings_in(passage)
    ]
    assert not found


@pytest.mark.parametrize("path", PAGES + BUILD_FILES, ids=name_of)
def test_no_sentence_of_a_page_or_build_file_is_too_long(path: Path) -> None:
    sentences = [long for passage in passages_of(path) for long in long_sentences_in(passage.text)]
    assert not sentences, f"sentences of more than {MAX_WORDS} words"


AMERICAN = "use the American spelling"
EXAMPLES = {
    "`a b` is no tenant name.": 'write "is not a ..."',
    "The URL is of no use.": 'write "is invalid" or "has no effect"',
    "At the most ten.": 'write "at most" or "at least"',
    "What does not fit is refused.": "open the sentence with its subject",
    "The request waits, for it came late.": 'write "because"',
    "The longest unused make room.": 'write "evict"',
    "It runs besides the server.": 'write "next to", "in addition to" or "compared with"',
    "The report lists doubts.": 'write "warning"',
    "The limits are told in the docs.": "say who does what",
    "The worker ends here and now.": "use plain words",
    "A key that is none opens nothing.": 'write "is not a ..." or "does not exist"',
    "It tokenises the text.": AMERICAN,
    "Its behaviour is undefined.": AMERICAN,
    "Labelled rows are read.": AMERICAN,
    "The catalogue is empty.": AMERICAN,
    "The licence is missing.": AMERICAN,
}


def findings_of_page(tmp_path: Path, text: str) -> list[Finding]:
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    return [finding for passage in passages_of(page) for finding in findings_in(passage)]


@pytest.mark.parametrize(("text", "advice"), EXAMPLES.items())
def test_the_checker_finds_each_kind_of_phrase(text: str, advice: str, tmp_path: Path) -> None:
    assert advice in [finding.advice for finding in findings_of_page(tmp_path, text)]


def test_every_rule_has_an_example() -> None:
    for pattern, advice in RULES:
        found = [EXAMPLES[text] for text in EXAMPLES if pattern.search(text)]
        assert advice in found, pattern.pattern


@pytest.mark.parametrize("text", ["The value is None.", "The error says: what is wrong; where."])
def test_the_checker_tells_cases_apart_where_they_matter(text: str, tmp_path: Path) -> None:
    assert findings_of_page(tmp_path, text) == []


def test_the_checker_reads_the_comments_of_build_files(tmp_path: Path) -> None:
    file = tmp_path / "Makefile"
    file.write_text("# One comment\n# in two lines.\n\nfix: all  ## Fix it\n\tsed '/^#/!d'\n")
    passages = [(passage.line, passage.text) for passage in passages_of(file)]
    assert passages == [(1, "One comment\nin two lines."), (4, "Fix it")]


def test_the_checker_leaves_out_what_tools_have_installed(tmp_path: Path) -> None:
    names = ("a.py", "within/b.md", ".venvs/peft/lib/foreign.py", "within/.cache/c.md", "d.txt")
    for name in names:
        file = tmp_path / ".checkout" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    root = tmp_path / ".checkout"  # a hidden folder above does not matter
    assert list(files_under(root)) == [root / "a.py", root / "within" / "b.md"]
    assert list(files_under(root / "a.py")) == [root / "a.py"]
