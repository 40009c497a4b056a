"""The navigation of the site, as mkdocs.yml has it."""

from collections.abc import Iterator
from typing import Any

import yaml

from website.links import ROOT


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no annotations
    """Reads mkdocs.yml without the Python objects that it names."""


_Loader.add_multi_constructor("tag:yaml.org,2002:python/name:", lambda *_: None)


def navigation() -> list[Any]:
    """Read the navigation."""
    found: list[Any] = yaml.load((ROOT / "mkdocs.yml").read_text(), _Loader)["nav"]
    return found


def pages_in(item: Any) -> Iterator[str]:
    """Give the pages of a part of the navigation, in order."""
    match item:
        case str():
            yield item
        case dict():
            yield from (page for part in item.values() for page in pages_in(part))
        case list():
            yield from (page for part in item for page in pages_in(part))
