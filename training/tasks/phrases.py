"""Phrases that say which columns of a row are read, and as what."""

from collections.abc import Sequence

from prefixes.template import template_fields
from training.errors import few
from training.examples import Layout


def from_columns(names: Sequence[str]) -> str:
    """Name columns: `from column 'text'`."""
    return f"from column{'s' if len(names) > 1 else ''} {few([repr(name) for name in names])}"


def texts(layout: Layout) -> list[str]:
    """Name the columns of an input's text, and of the text that it is paired with, if any."""
    template = layout.template
    phrases = []
    for role, fields in (("text", template.text), ("paired text", template.text_pair or "")):
        names = dict.fromkeys(template_fields(fields))
        columns = [layout.columns[name] for name in names if name in layout.columns]
        if columns:
            phrases.append(f"{role} {from_columns(columns)}")
    return phrases


def counted(names: Sequence[str], noun: str) -> str:
    """Count names, and list a few: `4 labels: 'a', 'b', 'c' and 1 more`."""
    ending = "" if len(names) == 1 else "s"
    return f"{len(names):,} {noun}{ending}: {few([repr(name) for name in names])}"
