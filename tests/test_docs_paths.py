"""Paths in the documentation: the files and folders that pages name exist in the repository."""

import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
FOLDERS: Final = (
    *("prefixes", "server", "training", "client"),
    *("tests", "bench", "docs", "examples", "website", "deploy"),
)
PAGES: Final = (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
EXTENSION_PAGES: Final = ("add-a-task-type.md", "add-a-store.md", "add-an-http-dialect.md")
WRITTEN: Final = {"bench/.venvs/", "bench/results/latest.json", "bench/results/latest.png"}
"""Paths that programs write."""


def paths_in(text: str) -> set[str]:
    """Find paths in backticks: from a folder of the repository, to a file or a folder with `/`.

    Names of tasks, such as `examples/spam`, are not paths.
    """
    found = re.findall(rf"`((?:{'|'.join(FOLDERS)})/(?:[\w./-]*/|[\w./-]*\.\w+|))`", text)
    return {path for path in found if path not in WRITTEN}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_paths_on_a_page_exist(page: Path) -> None:
    if page.name == "CHANGELOG.md":
        pytest.skip("names files of earlier versions")
    missing = {path for path in paths_in(page.read_text()) if not (ROOT / path).exists()}

    assert missing == set()


@pytest.mark.parametrize("page", EXTENSION_PAGES)
def test_the_pages_on_extensions_name_files(page: str) -> None:
    assert len(paths_in((ROOT / "docs" / page).read_text())) >= 10


@pytest.mark.parametrize("page", EXTENSION_PAGES)
def test_the_names_in_a_row_of_a_file_occur_in_that_file(page: str) -> None:
    rows = re.findall(
        r"^\|(?: \d+ \|)? `([\w./-]+\.\w+)` \| (.+) \|$",
        (ROOT / "docs" / page).read_text(),
        re.MULTILINE,
    )
    missing = [
        (path, name)
        for path, change in rows
        for name in re.findall(r"`(\w+)`", change)
        if not re.search(rf"\b{name}\b", (ROOT / path).read_text())
    ]

    assert len(rows) >= 6
    assert missing == []
