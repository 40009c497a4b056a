"""Labels in charts: in a font with their characters, or else as numbers."""

import unicodedata
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from matplotlib import rcParams
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font

_MAX_CHARACTERS: Final = 40
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cn", "Cs"})
_SELECTORS: Final = frozenset(map(chr, range(0xFE00, 0xFE10)))
_LAST_RESORT: Final = "Last Resort"
"""A font of matplotlib that draws a box for every character."""


@dataclass(frozen=True, slots=True)
class ChartLabels:
    """The text to draw for each label, and the font families that have its characters.

    `has_numbers` says that labels without a font are written as `#` and their number.
    """

    texts: tuple[str, ...]
    families: tuple[str, ...]
    has_numbers: bool

    @property
    def properties(self) -> dict[str, Any]:
        """Text properties for matplotlib. A `$` in a label does not start a formula."""
        return {"fontfamily": list(self.families), "parse_math": False}


def chart_labels(labels: Sequence[str], numbers: Sequence[int] | None = None) -> ChartLabels:
    """Choose text and fonts for labels. `numbers` are their positions in the report's labels."""
    visible = [_visible(label) for label in labels]
    families, missing = _families(set("".join(visible)))
    ids = range(len(labels)) if numbers is None else numbers
    lacks = [not missing.isdisjoint(label) or not label for label in visible]
    texts = [
        f"#{number}" if is_lacking else _shortened(label)
        for label, number, is_lacking in zip(visible, ids, lacks, strict=True)
    ]
    return ChartLabels(tuple(texts), families, any(lacks))


def _visible(label: str) -> str:
    """Remove characters without a glyph: control and format characters, variation selectors."""
    text = " ".join(label.split())
    return "".join(
        x for x in text if unicodedata.category(x) not in _INVISIBLE and x not in _SELECTORS
    )


def _shortened(label: str) -> str:
    return label if len(label) <= _MAX_CHARACTERS else f"{label[: _MAX_CHARACTERS - 3]}..."


def _families(characters: Collection[str]) -> tuple[tuple[str, ...], set[str]]:
    """Choose font families for characters, the usual ones first.

    Returns:
        The families, and the characters that no font of this machine has.
    """
    families = list(rcParams["font.family"])
    missing = set(characters) - _glyphs(families)
    for name in _others() if missing else ():
        found = missing & _glyphs([name])
        if found:
            families.append(name)
            missing -= found
        if not missing:
            break
    return tuple(families), missing


def _others() -> Iterator[str]:
    names = {entry.name for entry in fontManager.ttflist}
    return (name for name in sorted(names) if not name.startswith(_LAST_RESORT))


def _glyphs(families: Sequence[str]) -> set[str]:
    """Return the characters of the font that matplotlib selects for these families."""
    with suppress(OSError, RuntimeError, ValueError):  # bitmap fonts, which matplotlib cannot draw
        path = findfont(FontProperties(family=list(families)), fallback_to_default=False)
        font = get_font(path)
        return set(map(chr, font.get_charmap())) if font.scalable else set()
    return set()
