"""Links of pages, rewritten from paths in the repository to paths in the site.

The pages of `docs/` keep their paths. The pages at the root of the repository go to `project/`, and
other files that pages link to go to `files/`, because the site has no other host to link to.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

ROOT: Final = Path(__file__).parents[1]
DOCS: Final = ROOT / "docs"
ROOT_PAGES: Final = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")

_LINK: Final = re.compile(r"(\]\()([^)\s]+)(\))|(src=\")([^\"]+)(\")")


def site_path(path: Path) -> str:
    """Give the path in the site of a file of the repository."""
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS).as_posix()
    relative = path.relative_to(ROOT).as_posix()
    if relative in ROOT_PAGES:
        # A README.md would become the index of its folder.
        return f"project/{relative.lower()}".replace("readme", "overview")
    return f"files/{relative}"


def rewrite_links(markdown: str, source: Path, page: str) -> str:
    """Rewrite the links of a page.

    Args:
        markdown: the text of the page.
        source: the file of the repository that it comes from.
        page: its path in the site.
    """

    def replaced(found: re.Match[str]) -> str:
        before, link, after = (part for part in found.groups() if part is not None)
        target = _target_of(link, source)
        if target is None:
            return found.group()
        path, fragment = target
        start = PurePosixPath(page).parent
        return f"{before}{os.path.relpath(site_path(path), start)}{fragment}{after}"

    return _LINK.sub(replaced, markdown)


def linked_files(markdown: str, source: Path) -> Iterator[Path]:
    """Give the files of the repository outside of `docs/` that a page links to."""
    for found in _LINK.finditer(markdown):
        target = _target_of(found[2] or found[5], source)
        if target and not target[0].is_relative_to(DOCS):
            yield target[0]


def _target_of(link: str, source: Path) -> tuple[Path, str] | None:
    """Give the file that a link leads to, and its fragment; None unless it is in the repository."""
    path, sign, fragment = link.partition("#")
    if not path or re.match(r"\w+:", link):
        return None
    target = Path(os.path.normpath(source.parent / path))
    if target.is_dir():
        target /= "README.md"
    return (target, sign + fragment) if target.is_file() else None
