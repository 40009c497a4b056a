"""Phrases that describe the columns of a row and their roles."""

from collections.abc import Sequence

from prefixes.template import template_fields
from training.errors import few
from training.examples import Layout


def from_columns(names: Sequence[str]) -> str:
    """Return `from column 'text'`, or a few of several columns."""
    return f"from column{'s' if len(names) > 1 else ''} {few([repr(name) for name in names])}"


def texts(layout: Layout) -> list[str]:
    """Describe the columns of the text and of the paired text."""
    template = layout.template
    phrases = []
    for role, fields in (("text", template.text), ("paired text", template.text_pair or "")):
        names = dict.fromkeys(template_fields(fields))
        columns = [layout.columns[name] for name in names if name in layout.columns]
        if columns:
            phrases.append(f"{role} {from_columns(columns)}")
    return phrases


def counted(names: Sequence[str], noun: str) -> str:
    """Return the number of names and a few of them: `4 labels: 'a', 'b', 'c' and 1 more`."""
    ending = "" if len(names) == 1 else "s"
    return f"{len(names):,} {noun}{ending}: {few([repr(name) for name in names])}"
