"""Links of pages are rewritten from paths in the repository to paths in the site."""

import pytest

from website.headings import anchor_of
from website.links import DOCS, ROOT, linked_files, rewrite_links


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("operating.md#metrics", "operating.md#metrics"),
        ("../README.md#install", "project/overview.md#install"),
        ("../SECURITY.md", "project/security.md"),
        ("../examples/quickstart.py", "files/examples/quickstart.py"),
        ("decisions/", "decisions/README.md"),
        ("https://example.org/a.md", "https://example.org/a.md"),
        ("#metrics", "#metrics"),
    ],
)
def test_links_of_a_page_of_docs(link: str, expected: str) -> None:
    source = DOCS / "clients.md"
    assert rewrite_links(f"[a]({link})", source, "clients.md") == f"[a]({expected})"


def test_links_of_a_page_of_the_root_start_from_its_new_folder() -> None:
    text = rewrite_links(
        "[a](docs/clients.md) [b](SECURITY.md)", ROOT / "README.md", "project/x.md"
    )
    assert text == "[a](../clients.md) [b](security.md)"


def test_a_link_that_leads_nowhere_stays_for_the_check_of_mkdocs() -> None:
    text = "[a](none.md)"
    assert rewrite_links(text, DOCS / "clients.md", "clients.md") == text


def test_files_outside_of_docs_are_found() -> None:
    text = "[a](../examples/quickstart.py) [b](operating.md)"
    assert list(linked_files(text, DOCS / "clients.md")) == [ROOT / "examples/quickstart.py"]


def test_anchors_are_those_of_code_hosts() -> None:
    assert anchor_of("TLS & HTTP/2: `a_b`") == "tls--http2-a_b"
