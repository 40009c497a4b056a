"""Lines of a text, one at a time."""

from collections.abc import Iterator


def numbered_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield each line that is not blank, with its number. A list would take more memory.

    Only a line feed ends a line, because JSON strings may contain U+2028 and similar characters.
    """
    start, number = 0, 1
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        line = text[start:end]
        if line.strip():
            yield number, line
        start, number = end + 1, number + 1
