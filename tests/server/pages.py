"""The pages of documentation, and what their examples need to run on a test's server."""

from pathlib import Path
from typing import Final

DOCS: Final = Path(__file__).parents[2] / "docs"

_SERVED: Final = {
    "examples/spam": "examples/mood",
    "acme/entities": "examples/things",
    "acme/facts": "examples/facts",
    "acme/causes": "examples/causes",
    "acme/vectors": "examples/vectors",
}


def with_served_tasks(text: str) -> str:
    """Replace the tasks that the pages name by tasks of the same type that `rest` serves."""
    for named, served in _SERVED.items():
        text = text.replace(named, served)
    return text


def section_of(page: str, title: str) -> str:
    """Find the section with this title, with tasks that `rest` serves."""
    section = page.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]
    return with_served_tasks(section)
