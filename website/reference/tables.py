"""Tables of Markdown."""

from collections.abc import Iterable, Sequence


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Make a table; without rows, an empty text."""
    lines = [_line(row) for row in rows]
    if not lines:
        return ""
    return "\n".join((_line(columns), f"|{'---|' * len(columns)}", *lines)) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '&#124;').replace(chr(10), ' ') for cell in cells)} |"
