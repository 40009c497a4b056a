"""Phrases that describe labels, for a backbone to read."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

_JOINTS: Final = re.compile(r"[\s_/-]+")


def phrases_of(labels: Sequence[str], descriptions: Mapping[str, str] | None) -> list[str]:
    """Return a phrase for each label: its description, or a sentence with its name."""
    described = descriptions or {}
    return [described.get(label) or _sentence(label) for label in labels]


def _sentence(label: str) -> str:
    """Write a name as words: `card_arrival` and `card-arrival` as `card arrival`."""
    words = _JOINTS.sub(" ", label).strip()
    return f"This text is about {words or label}."
