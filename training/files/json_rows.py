"""Rows of JSON Lines and of JSON arrays."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from prefixes.characters import HALF_SURROGATE, first_surrogate
from training.errors import DataProblem
from training.files.rows import Row
from training.files.text_lines import numbered_lines

_BLANKS: Final = re.compile(r"[ \t\n\r]*")


def jsonl_rows(path: Path, text: str) -> Iterator[Row | DataProblem]:
    for number, line in numbered_lines(text):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield DataProblem(path, number, f"is not JSON: {error}")
            continue
        yield _object(path, number, value)


def json_rows(path: Path, text: str) -> Iterator[Row | DataProblem]:
    try:
        if not text.startswith("[", _after_blanks(text, 0)):
            json.loads(text)
            yield DataProblem(path, None, "expected an array of objects, found another value")
            return
        for number, value in enumerate(_array(text), start=1):
            yield _object(path, number, value)
    except (ValueError, RecursionError) as error:
        hint = (
            "; rename a file with one object per line to .jsonl"
            if "Extra data" in str(error)
            else ""
        )
        yield DataProblem(path, None, f"is not JSON: {error}{hint}")


def _array(text: str) -> Iterator[Any]:
    """Yield the values of a JSON array one by one. All at once would take far more memory.

    Raises:
        JSONDecodeError: if the text is not a JSON array.
    """
    decoder = json.JSONDecoder()
    place = _after_blanks(text, text.index("[") + 1)
    is_open = not text.startswith("]", place)
    while is_open:
        value, place = decoder.raw_decode(text, place)
        yield value
        place = _after_blanks(text, place)
        is_open = text.startswith(",", place)
        if is_open:
            place = _after_blanks(text, place + 1)
    if not text.startswith("]", place):
        raise json.JSONDecodeError("Expecting ',' delimiter", text, place)
    end = _after_blanks(text, place + 1)
    if end < len(text):
        raise json.JSONDecodeError("Extra data", text, end)


def _after_blanks(text: str, place: int) -> int:
    found = _BLANKS.match(text, place)
    assert found is not None
    return found.end()


def _object(path: Path, number: int, value: Any) -> Row | DataProblem:
    if not isinstance(value, dict):
        return DataProblem(path, number, "expected a JSON object, found another value")
    # Names of columns, labels and tags are checked too: they end up in files and responses.
    if _has_surrogate(value):
        broken = next(name for name, cell in value.items() if _has_surrogate([name, cell]))
        return DataProblem(path, number, f"{broken!r}: expected text, found {HALF_SURROGATE}")
    return Row(path, number, value)


def _has_surrogate(value: Any) -> bool:
    return first_surrogate(json.dumps(value, ensure_ascii=False)) is not None
