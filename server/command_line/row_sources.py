"""Parses the source of rows that a flag or an argument names."""

from training.errors import PlanRejected
from training.sources import Source, parse_source


def source_of(text: str) -> Source:
    """Parse the source of rows.

    Raises:
        PlanRejected: when it is not a valid source.
    """
    try:
        return parse_source(text)
    except ValueError as error:
        raise PlanRejected(str(error)) from error
