"""Decodes UTF-8 text, and suggests other encodings for text that is not UTF-8."""

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from charset_normalizer import from_bytes

from training.errors import DataProblem, DataRejected

_COMMON: Final = (
    *("cp1252", "gb18030", "big5", "cp932", "euc_jp", "cp949", "cp1250", "cp1251", "cp1253"),
    *("cp1254", "cp1255", "cp1256", "koi8_r"),
)
"""Common encodings, the most usual first. A short text fits nearly all of them."""
_WIDE: Final = ("utf_16_le", "utf_16_be")
_ICONV: Final = {"utf_16_le": "UTF-16LE", "utf_16_be": "UTF-16BE"}
_SAMPLE: Final = 32 * 1024
_NOISE: Final = 0.5
"""Maximum share of odd characters in a suggested reading. The reader recognizes the right one."""
_SHOWN: Final = 3
_CHARACTERS: Final = 24
_MARKS: Final = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
"""Byte order marks. UTF-32 comes first, because its mark begins with the mark of UTF-16."""


def decode(path: Path, data: bytes) -> str:
    """Decode the bytes of a file as UTF-8.

    Raises:
        DataRejected: if they are not UTF-8. The message names likely encodings, the first
            offending line in each, and the command that converts the file.
    """
    mark = next((name for mark, name in _MARKS.items() if data.startswith(mark)), None)
    if mark is not None:
        raise _refused(path, None, f"expected UTF-8, found {mark}: {_convert(path, mark)}")
    if _is_wide(data[:_SAMPLE]):
        raise _refused(path, None, f"is not UTF-8 text: {_remedy(path, data)}")
    try:
        return data.decode("utf-8-sig")  # spreadsheets begin their CSV with a byte order mark
    except UnicodeDecodeError as error:
        start = data.rfind(b"\n", 0, error.start) + 1
        line = data[:start].count(b"\n") + 1
        raise _refused(path, line, f"is not UTF-8 text: {_remedy(path, data[start:])}") from error


def _is_wide(data: bytes) -> bool:
    """Return whether these may be 16-bit characters: one byte of most letters is zero."""
    return data.count(0) * 4 > len(data)


def _sample(data: bytes) -> bytes:
    """Take whole lines: half a character at the end would exclude its encoding."""
    sample = data[:_SAMPLE]
    is_cut = len(data) > _SAMPLE and not _is_wide(sample)
    return sample[: sample.rfind(b"\n") + 1] or sample if is_cut else sample


def _remedy(path: Path, data: bytes) -> str:
    readings = list(_readings(_sample(data)))[:_SHOWN]
    if not readings:
        return "it may be a binary file; provide the rows as UTF-8 text"
    usual = readings[0][0]
    named = ", or ".join(f"{name} (which reads {text!r})" for name, text in readings)
    return f"it may be {named}; {_convert(path, usual if len(readings) == 1 else 'ENCODING')}"


def _readings(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield likely encodings, each with its reading of the first line."""
    encodings = _WIDE if _is_wide(data) else _COMMON
    for match in from_bytes(data, cp_isolation=list(encodings), threshold=_NOISE):
        same = [name for name in encodings if name in match.could_be_from_charset]
        name = (same or [match.encoding])[0]
        line = str(match).partition("\n")[0]
        yield _ICONV.get(name, name.upper().replace("_", "-")), _around_first_odd(line)


def _around_first_odd(line: str) -> str:
    """Return the part of a line in which the readings differ."""
    odd = next((at for at, character in enumerate(line) if not character.isascii()), 0)
    start = max(0, odd - _CHARACTERS // 2)
    return line[start : start + _CHARACTERS]


def _convert(path: Path, encoding: str) -> str:
    return f"convert it: iconv -f {encoding} -t UTF-8 {path.name} > utf-8{path.suffix}"


def _refused(path: Path, line: int | None, message: str) -> DataRejected:
    return DataRejected((DataProblem(path, line, message),))
