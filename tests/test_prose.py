"""The prose of pages, docstrings, comments, messages and build files keeps to the style page."""

from pathlib import Path

import pytest

from tests.prose import MAX_WORDS, findings_in, long_sentences_in, passages_of

ROOT = Path(__file__).parents[1]
PAGES = sorted((*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")))
MODULES = sorted(
    path
    for name in ("prefixes", "server", "training", "examples")
    for path in (ROOT / name).rglob("*.py")
)
BUILD_FILES = [ROOT / name for name in ("Makefile", "Dockerfile", "pyproject.toml")]
SAMPLES = ROOT / "prefixes" / "made_up.py"
STYLE_PAGE = ROOT / "docs" / "style.md"


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize(
    "path",
    [path for path in PAGES + MODULES + BUILD_FILES if path not in {SAMPLES, STYLE_PAGE}],
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


@pytest.mark.parametrize(
    "text",
    [
        "`a b` is no tenant name.",
        "The URL is of no use.",
        "At the most ten.",
        "What does not fit is refused.",
        "It tokenises the text.",
        "Its behaviour is undefined.",
        "The longest unused make room.",
    ],
)
def test_the_checker_finds_each_kind_of_phrase(text: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    assert [list(findings_in(passage)) for passage in passages_of(page)] != [[]]


def test_the_checker_reads_the_comments_of_build_files(tmp_path: Path) -> None:
    file = tmp_path / "Makefile"
    file.write_text("# One comment\n# in two lines.\n\nfix: all  ## Fix it\n\tsed '/^#/!d'\n")
    passages = [(passage.line, passage.text) for passage in passages_of(file)]
    assert passages == [(1, "One comment\nin two lines."), (4, "Fix it")]
