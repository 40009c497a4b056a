"""The check of the built site finds broken links and addresses on other hosts."""

from pathlib import Path

import pytest

from website.check import findings_of

GOOD = '<h1 id="top">x</h1><a href="b.html#two">b</a><img src="c.svg"><a href="https://a.example">'


def findings(folder: Path, page: str) -> list[str]:
    (folder / "a.html").write_text(page)
    (folder / "b.html").write_text('<h2 id="two">two</h2>')
    (folder / "c.svg").write_text("<svg/>")
    return list(findings_of(folder))


def test_a_good_site_has_no_findings(tmp_path: Path) -> None:
    assert findings(tmp_path, GOOD) == []


@pytest.mark.parametrize(
    ("page", "part"),
    [
        ('<a href="none.html">', "a file that does not exist"),
        ('<a href="b.html#three">', "an anchor that does not exist"),
        ('<a href="#none">', "an anchor that does not exist"),
        ('<img src="none.svg">', "a file that does not exist"),
        ('<script src="https://cdn.example/x.js"></script>', "another host"),
        ('<script src="//cdn.example/x.js"></script>', "another host"),
        ('<link rel="preconnect" href="https://fonts.example">', "another host"),
        ('<link rel="stylesheet" href="http://fonts.example/a.css">', "another host"),
    ],
)
def test_a_fault_of_a_page_is_found(tmp_path: Path, page: str, part: str) -> None:
    (finding,) = findings(tmp_path, page)
    assert finding.startswith("a.html: ")
    assert part in finding


@pytest.mark.parametrize(
    "style", ['@import "https://fonts.example/a.css";', "a { src: url(https://fonts.example/a) }"]
)
def test_a_style_sheet_that_loads_from_another_host_is_found(tmp_path: Path, style: str) -> None:
    (tmp_path / "a.css").write_text(style)
    (finding,) = findings_of(tmp_path)
    assert "another host" in finding
