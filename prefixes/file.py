"""The container of a prefix: one safetensors file from an untrusted source, read with limits.

Layout: an 8-byte little-endian header length, a JSON header (tensor names, dtypes, shapes, byte
ranges and a `__metadata__` map of strings), then the tensors' bytes. The metadata key `polyprefix`
holds the JSON of the `PrefixSpec`; `polyprefix.additions`, if present, the JSON of those of its
fields that readers of version 0.1.0 do not know and need not know, because they change no output
or belong to a method that these readers reject. They ignore unknown metadata, but reject a
description with unknown fields. A pickle is never read.

Source of the format: the safetensors project's README.
"""

import json
import math
import reprlib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from prefixes.characters import first_surrogate
from prefixes.errors import PrefixRejected
from prefixes.findings import Finding

MAX_FILE_BYTES: Final = 256 * 2**20
MAX_HEADER_BYTES: Final = 2 * 2**20
MAX_TENSORS: Final = 64
METADATA_KEY: Final = "polyprefix"
ADDITIONS_KEY: Final = "polyprefix.additions"
DTYPES: Final[dict[str, np.dtype[Any]]] = {"F32": np.dtype(np.float32), "F16": np.dtype(np.float16)}
"""The tensor types of a prefix: those that can be read without torch."""

_PICKLE_STARTS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_HEADER_LENGTH_BYTES = 8
_ALIGNMENT = 8  # of the tensors' bytes, as the library aligns them
_MAX_RANK = 8


@dataclass(frozen=True, slots=True, eq=False)
class Container:
    """The uninterpreted content of a file."""

    spec_json: str
    tensors: dict[str, NDArray[Any]]
    additions_json: str | None = None


def write_container(container: Container) -> bytes:
    """Serialize a container. Equal content gives equal bytes, and hence the same digest.

    Raises:
        PrefixRejected: when the file would be larger than `read_container` accepts.
    """
    tensors = {name: np.asarray(tensor, order="C") for name, tensor in container.tensors.items()}
    # The library sorts the tensors itself, so their order here does not matter.
    metadata = {METADATA_KEY: container.spec_json}
    if container.additions_json is not None:
        metadata[ADDITIONS_KEY] = container.additions_json
    data = safetensors.numpy.save(tensors, metadata=metadata)
    if len(metadata) > 1:
        data = _with_metadata(data, metadata)
    _split_header(data)
    return data


def _with_metadata(data: bytes, metadata: dict[str, str]) -> bytes:
    """Write the metadata in the given order, because the library chooses a random one."""
    length = int.from_bytes(data[:_HEADER_LENGTH_BYTES], "little")
    start = _HEADER_LENGTH_BYTES + length
    entries = json.loads(data[_HEADER_LENGTH_BYTES:start]) | {"__metadata__": metadata}
    header = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    header += b" " * (-len(header) % _ALIGNMENT)
    return len(header).to_bytes(_HEADER_LENGTH_BYTES, "little") + header + data[start:]


def read_container(data: bytes) -> Container:
    """Read the bytes of a prefix file.

    Lengths in the file are not trusted: each is compared with the actual size before it is used.

    Raises:
        PrefixRejected: with every finding about the container.
    """
    header, num_bytes = _read_header(data)
    metadata = header.pop("__metadata__", None)
    findings = [*_metadata_findings(metadata), *_tensor_findings(header, num_bytes)]
    if findings:
        raise PrefixRejected(tuple(findings))
    try:
        tensors = safetensors.numpy.load(data)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise _rejected("not_safetensors", "tensors laid end to end", str(error)) from error
    return Container(metadata[METADATA_KEY], tensors, metadata.get(ADDITIONS_KEY))


def _read_header(data: bytes) -> tuple[dict[str, Any], int]:
    """Parse the header, and count the bytes that follow it."""
    header = _split_header(data)
    return _parse_header(header), len(data) - _HEADER_LENGTH_BYTES - len(header)


def _split_header(data: bytes) -> bytes:
    if _looks_pickled(data):
        raise _rejected(
            "pickle",
            "a safetensors file",
            "a pickle or a torch checkpoint",
            "a pickle can run code when it is read; convert the weights to safetensors",
        )
    if len(data) > MAX_FILE_BYTES:
        raise _rejected("too_large", f"at most {MAX_FILE_BYTES} bytes", f"{len(data)} bytes")
    if len(data) < _HEADER_LENGTH_BYTES:
        raise _rejected("truncated", "at least 8 bytes", f"{len(data)} bytes")
    length = int.from_bytes(data[:_HEADER_LENGTH_BYTES], "little")
    if length > MAX_HEADER_BYTES:
        raise _rejected(
            "header_too_large",
            f"a header of at most {MAX_HEADER_BYTES} bytes",
            f"a header that claims {length} bytes",
            "the file is damaged or is not a safetensors file",
        )
    if _HEADER_LENGTH_BYTES + length > len(data):
        raise _rejected("truncated", f"a header of {length} bytes", f"{len(data) - 8} bytes")
    return data[_HEADER_LENGTH_BYTES : _HEADER_LENGTH_BYTES + length]


def _looks_pickled(data: bytes) -> bool:
    # A header of 640 bytes begins with the bytes of a pickle too, but the JSON after it does not.
    has_json = data[_HEADER_LENGTH_BYTES : _HEADER_LENGTH_BYTES + 1] == b"{"
    return data.startswith(_PICKLE_STARTS) and not has_json


def _parse_header(header: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(header.decode(), object_pairs_hook=_sound_object)
    except (ValueError, RecursionError) as error:
        raise _rejected(
            "not_safetensors", "a JSON header", f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(parsed, dict):
        raise _rejected("not_safetensors", "a JSON object as header", type(parsed).__name__)
    return parsed


def _sound_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name appears twice in the header")
    for pair in pairs:
        for text in pair:
            if isinstance(text, str) and first_surrogate(text) is not None:
                raise ValueError("a text in the header has an unpaired surrogate")
    return result


def _metadata_findings(metadata: object) -> list[Finding]:
    if isinstance(metadata, dict) and isinstance(metadata.get(METADATA_KEY), str):
        return _additions_findings(metadata.get(ADDITIONS_KEY, ""))
    return [
        Finding(
            "no_spec",
            "file",
            f"a {METADATA_KEY!r} entry in the metadata",
            "none",
            "write the file with `polyprefix train`; other formats are imported, not uploaded",
        )
    ]


def _additions_findings(additions: object) -> list[Finding]:
    if isinstance(additions, str):
        return []
    return [Finding("bad_spec", ADDITIONS_KEY, "JSON as a string", type(additions).__name__)]


def _tensor_findings(header: dict[str, Any], num_bytes: int) -> list[Finding]:
    if len(header) > MAX_TENSORS:
        found = f"{len(header)} tensors"
        return [Finding("too_many_tensors", "file", f"at most {MAX_TENSORS} tensors", found)]
    findings = []
    for name, entry in header.items():
        problem = _entry_problem(entry, num_bytes)
        if problem is not None:
            findings.append(Finding(problem[0], name[:200], *problem[1:]))
    return findings


def _entry_problem(entry: object, num_bytes: int) -> tuple[str, str, str] | None:
    match entry:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [begin, end]}:
            pass
        case _:
            return "bad_entry", "dtype, shape and data_offsets", reprlib.repr(entry)
    if dtype not in DTYPES:
        return "bad_dtype", " or ".join(DTYPES), dtype[:20]
    if len(shape) > _MAX_RANK or not all(_is_size(size) for size in shape):
        return "bad_shape", f"at most {_MAX_RANK} sizes of zero or more", reprlib.repr(shape)
    if not (_is_size(begin) and _is_size(end) and begin <= end <= num_bytes):
        found = reprlib.repr([begin, end])
        return "bad_entry", f"offsets within the file's {num_bytes} bytes of tensors", found
    expected = math.prod(shape) * DTYPES[dtype].itemsize
    if end - begin != expected:
        return "bad_entry", f"{expected} bytes for {dtype} {shape}", f"{end - begin} bytes"
    return None


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MAX_FILE_BYTES


def _rejected(code: str, expected: str, found: str, hint: str = "") -> PrefixRejected:
    return PrefixRejected((Finding(code, "file", expected, found[:500], hint),))
