"""The hooks of MkDocs: generated pages, links to files outside of `docs/`, and llms.txt.

MkDocs calls each function at the event that it is named after.
"""

from pathlib import Path
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Navigation
from mkdocs.structure.pages import Page

from website.links import DOCS, ROOT, ROOT_PAGES, linked_files, rewrite_links, site_path
from website.llms import write_llms_files
from website.reference import reference_pages

_DECISIONS: Final = "decisions/README.md"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List all decisions in the navigation."""
    decisions = [f"decisions/{path.name}" for path in sorted((DOCS / "decisions").glob("0*.md"))]
    config.nav = _expanded(config.nav, decisions)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the root, the files that pages link to, and the generated reference."""
    pages = [ROOT / name for name in ROOT_PAGES]
    sources = [*pages, *DOCS.rglob("*.md")]
    linked = {path for page in sources for path in linked_files(page.read_text("utf-8"), page)}
    for path in sorted({*pages, *linked}):
        files.append(File.generated(config, site_path(path), abs_src_path=str(path)))
    for name, text in reference_pages():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite links from paths in the repository to paths in the site."""
    del config, files
    source = page.file.abs_src_path
    return markdown if source is None else rewrite_links(markdown, Path(source), page.file.src_uri)


_navigations: Final[list[Navigation]] = []


def on_nav(nav: Navigation, config: MkDocsConfig, files: Files) -> Navigation:
    """Keep the navigation for `on_post_build`, which does not get it."""
    del config, files
    _navigations[:] = [nav]
    return nav


def on_post_build(config: MkDocsConfig) -> None:
    """Write llms.txt, llms-full.txt and the source of each page."""
    write_llms_files(
        Path(config.site_dir), _navigations[0], config.site_name, config.site_description or ""
    )


def _expanded(nav: object, decisions: list[str]) -> object:
    """Put the decisions after their index in the navigation."""
    match nav:
        case list():
            return [
                new
                for item in nav
                for new in (
                    (item, *decisions) if item == _DECISIONS else (_expanded(item, decisions),)
                )
            ]
        case dict():
            return {name: _expanded(item, decisions) for name, item in nav.items()}
        case _:
            return nav
