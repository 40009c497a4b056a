"""The container of a prefix: one safetensors file, read with limits and without trust.

Layout: an 8-byte little-endian header length, a JSON header (tensor names, dtypes, shapes, byte
ranges and a `__metadata__` map of strings), then the tensors' bytes. The metadata key `polyprefix`
holds the JSON of the `PrefixSpec`. A pickle is never read.

Source of the format: the safetensors project's README.
"""

import json
import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from prefixes.errors import PrefixRejected
from prefixes.findings import Finding

MAX_FILE_BYTES: Final = 256 * 2**20
MAX_HEADER_BYTES: Final = 2 * 2**20
METADATA_KEY: Final = "polyprefix"
DTYPES: Final[dict[str, np.dtype[Any]]] = {"F32": np.dtype(np.float32), "F16": np.dtype(np.float16)}
"""Tensor types a prefix may have: those that a reader without torch understands."""

_PICKLE_STARTS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_HEADER_LENGTH_BYTES = 8


@dataclass(frozen=True, slots=True, eq=False)
class Container:
    """What a file holds before anything is known of its meaning."""

    spec_json: str
    tensors: dict[str, NDArray[Any]]


def write_container(container: Container) -> bytes:
    """Lay out the container's bytes. The same content gives the same bytes, hence one digest."""
    ordered = {
        name: np.ascontiguousarray(container.tensors[name]) for name in sorted(container.tensors)
    }
    return safetensors.numpy.save(ordered, metadata={METADATA_KEY: container.spec_json})


def read_container(data: bytes) -> Container:
    """Read the bytes of a prefix file.

    Nothing is allocated on the word of the file: every length is held against the bytes that
    are there before it is used.

    Raises:
        PrefixRejected: with every finding about the container.
    """
    header = _read_header(data)
    metadata = header.pop("__metadata__", None)
    findings = [*_metadata_findings(metadata), *_tensor_findings(header)]
    if findings:
        raise PrefixRejected(tuple(findings))
    try:
        tensors = safetensors.numpy.load(data)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise _rejected("not_safetensors", "tensors laid end to end", str(error)) from error
    return Container(metadata[METADATA_KEY], tensors)


def _read_header(data: bytes) -> dict[str, Any]:
    if data[:4] == _PICKLE_STARTS[0] or data[:2] in _PICKLE_STARTS:
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
    return _parse_header(data[_HEADER_LENGTH_BYTES : _HEADER_LENGTH_BYTES + length])


def _parse_header(header: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(header, object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        raise _rejected(
            "not_safetensors", "a JSON header", f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(parsed, dict):
        raise _rejected("not_safetensors", "a JSON object as header", type(parsed).__name__)
    return parsed


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name appears twice in the header")
    return result


def _metadata_findings(metadata: object) -> list[Finding]:
    if isinstance(metadata, dict) and isinstance(metadata.get(METADATA_KEY), str):
        return []
    return [
        Finding(
            "no_spec",
            "file",
            f"a {METADATA_KEY!r} entry in the metadata",
            "none",
            "write the file with `polyprefix train`; other formats are imported, not uploaded",
        )
    ]


def _tensor_findings(header: dict[str, Any]) -> list[Finding]:
    findings = []
    for name, entry in header.items():
        problem = _entry_problem(entry)
        if problem is not None:
            findings.append(Finding(problem[0], name[:200], *problem[1:]))
    return findings


def _entry_problem(entry: object) -> tuple[str, str, str] | None:
    match entry:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(begin), int(end)]}:
            pass
        case _:
            return "bad_entry", "dtype, shape and data_offsets", str(entry)[:200]
    if dtype not in DTYPES:
        return "bad_dtype", " or ".join(DTYPES), dtype[:20]
    if not all(
        isinstance(size, int) and not isinstance(size, bool) and size >= 0 for size in shape
    ):
        return "bad_shape", "sizes of zero or more", str(shape)[:200]
    expected = math.prod(shape) * DTYPES[dtype].itemsize
    if end - begin != expected:
        return "bad_entry", f"{expected} bytes for {dtype} {shape}"[:200], f"{end - begin} bytes"
    return None


def _rejected(code: str, expected: str, found: str, hint: str = "") -> PrefixRejected:
    return PrefixRejected((Finding(code, "file", expected, found[:500], hint),))
