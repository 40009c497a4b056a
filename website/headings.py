"""Anchors of headings, as code hosts make them, so that one link works on both."""

import re


def anchor_of(heading: str, separator: str = "-") -> str:
    """Make the anchor of a heading: lower case, without punctuation, a hyphen for each space."""
    return re.sub(r"[^\w -]", "", heading.strip().lower()).replace(" ", separator)
