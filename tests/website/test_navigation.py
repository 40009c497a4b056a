"""Every page of the documentation stands in the navigation of the site, once."""

from collections import Counter

from tests.website.navigation import navigation, pages_in
from website.links import DOCS

KINDS = ("Tutorials", "How-to guides", "Reference", "Explanation", "Operations", "Security")


def test_every_page_stands_in_the_navigation_once() -> None:
    counts = Counter(pages_in(navigation()))
    pages = {
        path.relative_to(DOCS).as_posix()
        for path in DOCS.rglob("*.md")
        if not path.match("decisions/0*.md")  # website/hooks.py adds them
    }
    missing = pages - counts.keys()
    assert not missing, "add these pages to the navigation in mkdocs.yml"
    assert [page for page, count in counts.items() if count > 1] == []


def test_the_navigation_has_the_kinds_of_documentation() -> None:
    titles = [title for item in navigation() if isinstance(item, dict) for title in item]
    assert [title for title in titles if title in KINDS] == list(KINDS)


def test_the_index_links_every_page() -> None:
    index = (DOCS / "README.md").read_text()
    missing = [
        path.name
        for path in DOCS.glob("*.md")
        if path.name != "README.md" and f"]({path.name}" not in index
    ]
    assert missing == [], "add these pages to docs/README.md"
