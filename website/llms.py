"""llms.txt, which lists all pages for language models, and the pages as Markdown."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mkdocs.structure.nav import Navigation, Section
from mkdocs.structure.pages import Page

_MAX_SUMMARY: Final = 200


def write_llms_files(site: Path, nav: Navigation, title: str, summary: str) -> None:
    """Write llms.txt, llms-full.txt, and each page as Markdown next to its HTML."""
    pages = nav.pages
    for page in pages:
        target = site / page.file.src_uri
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_text_of(page), encoding="utf-8")
    head = f"# {title}\n\n> {summary}\n"
    index = "\n".join((head, *_lines_of(nav)))
    (site / "llms.txt").write_text(index.rstrip() + "\n", encoding="utf-8")
    texts = [f"<!-- {page.file.src_uri} -->\n\n{_text_of(page)}" for page in pages]
    (site / "llms-full.txt").write_text("\n\n".join((head, *texts)), encoding="utf-8")


def _lines_of(nav: Navigation) -> Iterator[str]:
    for item in nav.items:
        if isinstance(item, Page):
            yield f"{_entry_of(item)}\n"
        elif isinstance(item, Section):
            yield f"## {item.title}\n"
            yield from map(_entry_of, _pages_in(item))
            yield ""


def _pages_in(section: Section) -> Iterator[Page]:
    for item in section.children:
        if isinstance(item, Page):
            yield item
        elif isinstance(item, Section):
            yield from _pages_in(item)


def _entry_of(page: Page) -> str:
    summary = summary_of(_text_of(page))
    return f"- [{page.title}]({page.file.src_uri})" + (f": {summary}" if summary else "")


def _text_of(page: Page) -> str:
    return (page.markdown or "").strip() + "\n"


def summary_of(markdown: str) -> str:
    """Give the first sentences of the first paragraph of a page, without markup."""
    paragraphs = (block.strip() for block in re.split(r"\n\s*\n", markdown))
    first = next((one for one in paragraphs if re.match(r"[\w`*]", one)), "")
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(first.split())).rstrip(":")
    kept = ""
    for sentence in re.split(r"(?<=[.?!]) ", plain):
        if kept and len(kept) + len(sentence) > _MAX_SUMMARY:
            break
        kept = f"{kept} {sentence}".strip()
    return kept
