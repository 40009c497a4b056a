"""Text of files: UTF-8, or a refusal that says which encoding the bytes may have."""

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
"""Encodings that files are met in, the most usual first. Short texts could be in nearly any."""
_WIDE: Final = ("utf_16_le", "utf_16_be")
_ICONV: Final = {"utf_16_le": "UTF-16LE", "utf_16_be": "UTF-16BE"}
_SAMPLE: Final = 32 * 1024
_NOISE: Final = 0.5
"""Share of odd characters up to which a reading is shown: a person sees at once which is right."""
_SHOWN: Final = 3
_CHARACTERS: Final = 24
_MARKS: Final = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
"""UTF-32 comes first: its mark begins with that of UTF-16."""


def decode(path: Path, data: bytes) -> str:
    """Read the bytes of a file as text.

    Raises:
        DataRejected: when they are not UTF-8. It names the encodings that they may have, with what
            the first such line says in each, and how to convert the file.
    """
    mark = next((name for mark, name in _MARKS.items() if data.startswith(mark)), None)
    if mark is not None:
        raise _refused(path, None, f"is {mark}, expected UTF-8: {_convert(path, mark)}")
    if _is_wide(data[:_SAMPLE]):
        raise _refused(path, None, f"is not UTF-8 text: {_remedy(path, data)}")
    try:
        return data.decode("utf-8-sig")  # spreadsheets begin their CSV with a byte order mark
    except UnicodeDecodeError as error:
        start = data.rfind(b"\n", 0, error.start) + 1
        line = data[:start].count(b"\n") + 1
        raise _refused(path, line, f"is not UTF-8 text: {_remedy(path, data[start:])}") from error


def _is_wide(data: bytes) -> bool:
    """Say whether these may be pairs of bytes: of most letters, one of them is zero."""
    return data.count(0) * 4 > len(data)


def _sample(data: bytes) -> bytes:
    """Take whole lines: half a character at the end would rule its encoding out."""
    sample = data[:_SAMPLE]
    is_cut = len(data) > _SAMPLE and not _is_wide(sample)
    return sample[: sample.rfind(b"\n") + 1] or sample if is_cut else sample


def _remedy(path: Path, data: bytes) -> str:
    readings = list(_readings(_sample(data)))[:_SHOWN]
    if not readings:
        return "it may be a binary file; send its rows as UTF-8 text"
    usual = readings[0][0]
    named = ", or ".join(f"{name} (which reads {text!r})" for name, text in readings)
    return f"it may be {named}; {_convert(path, usual if len(readings) == 1 else 'ENCODING')}"


def _readings(data: bytes) -> Iterator[tuple[str, str]]:
    """Give likely encodings, each with what its first line with such characters says."""
    encodings = _WIDE if _is_wide(data) else _COMMON
    for match in from_bytes(data, cp_isolation=list(encodings), threshold=_NOISE):
        same = [name for name in encodings if name in match.could_be_from_charset]
        name = (same or [match.encoding])[0]
        line = str(match).partition("\n")[0]
        yield _ICONV.get(name, name.upper().replace("_", "-")), line[:_CHARACTERS]


def _convert(path: Path, encoding: str) -> str:
    return f"convert it, as with iconv -f {encoding} -t UTF-8 {path.name} > utf-8{path.suffix}"


def _refused(path: Path, line: int | None, message: str) -> DataRejected:
    return DataRejected((DataProblem(path, line, message),))
