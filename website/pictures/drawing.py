"""A small SVG drawing with colors for light and dark pages."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

LIGHT: Final[Mapping[str, str]] = {
    "page": "#ffffff", "ink": "#1f2328", "soft": "#57606a", "line": "#8c959f", "empty": "#eaeef2",
    "a": "#b6e3ff", "b": "#ffd8b5", "c": "#aceebb", "frozen": "#e6e1f7",
    "first": "#0550ae", "second": "#bc4c00", "third": "#1a7f37", "fourth": "#6e40c9",
}  # fmt: skip
"""The colors on a light page, by name. Tasks have the colors a, b and c.

Lines of charts have the colors in `SERIES`.
"""

DARK: Final[Mapping[str, str]] = {
    "page": "#1e2129", "ink": "#f0f3f6", "soft": "#b7bdc8", "line": "#7a828e", "empty": "#32363f",
    "a": "#0c4a83", "b": "#7a3f0f", "c": "#116329", "frozen": "#3b3460",
    "first": "#6cb6ff", "second": "#f69d50", "third": "#57ab5a", "fourth": "#b794f6",
}  # fmt: skip
"""The colors on a dark page."""

SERIES: Final = {"first": "none", "second": "7 3", "third": "2 3", "fourth": "9 3 2 3"}
"""The colors of lines, and the dashes that distinguish them without colors."""

_FONT: Final = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"

_ARROW_HEAD: Final = (
    '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
    'orient="auto"><path d="M0 0L8 4L0 8z" class="line"/></marker></defs>'
)


class Drawing:
    """A picture of fixed size, with a title and a description for screen readers."""

    def __init__(self, width: int, height: int, title: str, description: str) -> None:
        self._size = (width, height)
        self._names = (title, description)
        self._parts: list[str] = []
        self.box(0, 0, width, height, "page", radius=8)

    def box(self, x: float, y: float, width: float, height: float, color: str, *, radius: int = 3,
            is_dashed: bool = False) -> None:  # fmt: skip
        """Draw a rectangle. With dashes, it has an outline as well."""
        outline = ' stroke-dasharray="3 3" class="{} edge"' if is_dashed else ' class="{}"'
        self._parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius}"'
            f"{outline.format(color)}/>"
        )

    def text(self, x: float, y: float, words: str, *, color: str = "ink", size: int = 14,
             anchor: str = "start", is_bold: bool = False) -> None:  # fmt: skip
        """Write words. `anchor` says which part of them is at `x`: start, middle or end."""
        weight = ' font-weight="600"' if is_bold else ""
        self._parts.append(
            f'<text x="{x:g}" y="{y:g}" class="{color}" font-size="{size}" '
            f'text-anchor="{anchor}"{weight}>{escape(words)}</text>'
        )

    def cell(self, x: float, y: float, size: float, color: str, words: str = "") -> None:
        """Draw a square with words in its middle."""
        self.box(x, y, size - 2, size - 2, color)
        if words:
            self.text(x + size / 2 - 1, y + size / 2 + 4, words, size=12, anchor="middle")

    def arrow(self, x: float, y: float, to_x: float, to_y: float) -> None:
        """Draw an arrow."""
        self._parts.append(
            f'<line x1="{x:g}" y1="{y:g}" x2="{to_x:g}" y2="{to_y:g}" class="edge" '
            'marker-end="url(#head)"/>'
        )

    def line(self, points: Sequence[tuple[float, float]], color: str) -> None:
        """Draw lines from point to point, in a color of `SERIES` or thin ones in "edge"."""
        dashes = SERIES.get(color, "none")
        kind = f"{color}-line" if color in SERIES else color
        places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._parts.append(
            f'<polyline points="{places}" class="{kind}" stroke-dasharray="{dashes}" fill="none"/>'
        )

    def svg(self) -> str:
        """Give the SVG file."""
        width, height = self._size
        title, description = map(escape, self._names)
        return "\n".join((
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
                f'viewBox="0 0 {width} {height}" role="img" aria-labelledby="title about" '
                f'font-family="{_FONT}">'
            ),
            f'<title id="title">{title}</title>',
            f'<desc id="about">{description}</desc>',
            f"<style>\n{_rules(LIGHT)}\n@media (prefers-color-scheme: dark) {{\n{_rules(DARK)}\n}}",
            "</style>",
            _ARROW_HEAD,
            *self._parts,
            "</svg>\n",
        ))  # fmt: skip


def _rules(colors: Mapping[str, str]) -> str:
    fills = [f".{name} {{ fill: {color}; }}" for name, color in colors.items()]
    lines = [
        f".{name}-line {{ stroke: {colors[name]}; stroke-width: 2; fill: none; }}"
        for name in SERIES
    ]
    return "\n".join((*fills, *lines, f".edge {{ stroke: {colors['line']}; stroke-width: 1.5; }}"))
