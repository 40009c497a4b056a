"""The reference pages, generated from the code whenever the site is built."""

from collections.abc import Iterator

from website.reference.command_line import command_line_page
from website.reference.errors import errors_page
from website.reference.http_api import http_pages
from website.reference.metrics import metrics_page
from website.reference.python import python_page
from website.reference.settings import settings_page


def reference_pages() -> Iterator[tuple[str, str]]:
    """Give the path in the site and the text of each generated page."""
    yield "reference/settings.md", settings_page()
    yield "reference/command-line.md", command_line_page()
    yield "reference/metrics.md", metrics_page()
    yield "reference/python.md", python_page()
    yield "reference/http/errors.md", errors_page()
    yield from http_pages()
