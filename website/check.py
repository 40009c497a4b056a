"""Checks a built site: links and anchors lead somewhere, and no page loads from another host.

`python -m website.check FOLDER` lists every finding.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

_LOADED: Final = {
    "script": "src", "img": "src", "iframe": "src", "source": "srcset", "video": "src",
    "audio": "src", "embed": "src", "object": "data", "link": "href", "form": "action",
}  # fmt: skip
_NOT_LOADED: Final = {"canonical", "next", "prev", "edit"}
"""Kinds of `link` that a browser does not load."""


@dataclass
class PageParts(HTMLParser):
    """The anchors of a page, its links, and the addresses that a browser loads with it."""

    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect what one tag contributes."""
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        attribute = _LOADED.get(tag)
        if attribute in values and values.get("rel") not in _NOT_LOADED:
            self.loaded.append(values[str(attribute)])


def findings_of(site: Path) -> Iterator[str]:
    """Describe everything that is wrong with a site."""
    pages = {path: _parse(path) for path in sorted(site.rglob("*.html"))}
    for path, parts in pages.items():
        name = path.relative_to(site)
        if name.name == "404.html":  # is shown at any path, so its links are absolute
            continue
        for link in parts.links:
            if problem := _problem_of(link, path, pages):
                yield f"{name}: the link {link!r} {problem}"
        for address in parts.loaded:
            if _is_foreign(address):
                yield f"{name}: loads {address!r} from another host; serve it from the site"
            elif problem := _problem_of(address, path, pages):
                yield f"{name}: loads {address!r}, which {problem}"
    for path in sorted(site.rglob("*.css")):
        yield from (
            f"{path.relative_to(site)}: loads {address!r} from another host; serve it from the site"
            for address in _addresses_in(path.read_text(encoding="utf-8"))
            if _is_foreign(address)
        )


def _parse(path: Path) -> PageParts:
    parts = PageParts()
    parts.feed(path.read_text(encoding="utf-8"))
    return parts


def _addresses_in(style: str) -> list[str]:
    imports: list[str] = re.findall(r"@import\s+[\"']([^\"']+)", style)
    urls: list[str] = re.findall(r"url\(\s*[\"']?([^\"')]+)", style)
    return imports + urls


def _is_foreign(address: str) -> bool:
    parts = urlsplit(address)
    return bool(parts.netloc) or parts.scheme not in {"", "data"}


def _problem_of(link: str, page: Path, pages: dict[Path, PageParts]) -> str | None:
    """Say why a link leads nowhere; None if it does, or leads to another host."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if target.is_dir():
        target /= "index.html"
    if not target.is_file():
        return "leads to a file that does not exist"
    anchor = unquote(parts.fragment)
    if anchor and target in pages and anchor not in pages[target].anchors:
        return "leads to an anchor that does not exist"
    return None


def main() -> None:
    """List the findings of the folder on the command line."""
    findings = list(findings_of(Path(sys.argv[1]).resolve()))
    sys.stdout.write("".join(f"{finding}\n" for finding in findings))
    sys.exit(bool(findings))


if __name__ == "__main__":
    main()
