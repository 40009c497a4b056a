"""Whole prefix files with hostile descriptions: read or rejected, never a crash, in little memory.

`make fuzz` runs these tests with many more examples.
"""

import json
import struct
import tracemalloc
from collections.abc import Iterator
from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st

from prefixes import Prefix
from prefixes.errors import PrefixRejected
from prefixes.file import METADATA_KEY
from tests.prefixes.publishing import tiny_prefix

SOUND: Final = tiny_prefix("sound").to_bytes()
MAX_BYTES: Final = 64 * 2**20

JSON: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["embedding", "prompt", "{text}", "float16", "0" * 64]),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)


def split(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Split a file into its header and the bytes of its tensors."""
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def joined(header: dict[str, Any], tensors: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + tensors


HEADER, TENSORS = split(SOUND)
SPEC: Final[dict[str, Any]] = json.loads(HEADER["__metadata__"][METADATA_KEY])


def places_in(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to every value within a JSON value."""
    yield path
    if isinstance(value, dict | list):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        for name, inner in parts:
            yield from places_in(inner, (*path, name))


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A JSON value with another one in one place."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(copy[path[0]], path[1:], new)
    return copy


def read(data: bytes) -> Prefix | None:
    """Read a file; None where it was rejected. Any other exception fails the test."""
    tracemalloc.start()
    try:
        found: Prefix | PrefixRejected = Prefix.from_bytes(data)
    except PrefixRejected as error:
        found = error
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < MAX_BYTES
    if isinstance(found, Prefix):
        return found
    assert found.findings
    assert len(str(found).encode()) < 500_000
    return None


@given(place=st.sampled_from(list(places_in(SPEC))), value=JSON)
def test_a_description_with_another_value_is_read_or_rejected(
    place: tuple[Any, ...], value: Any
) -> None:
    spec = json.dumps(replaced(SPEC, place, value))
    found = read(joined(HEADER | {"__metadata__": {METADATA_KEY: spec}}, TENSORS))
    if found is not None:
        assert Prefix.from_bytes(found.to_bytes()).spec == found.spec


@given(place=st.sampled_from(list(places_in(HEADER))), value=JSON)
def test_a_header_with_another_value_is_read_or_rejected(
    place: tuple[Any, ...], value: Any
) -> None:
    header = replaced(HEADER, place, value)
    read(joined(header, TENSORS))


@given(st.lists(st.tuples(st.integers(0, len(SOUND) - 1), st.binary(max_size=8)), max_size=8))
def test_a_file_with_changed_bytes_is_read_or_rejected(edits: list[tuple[int, bytes]]) -> None:
    data = bytearray(SOUND)
    for place, new in edits:
        data[place : place + len(new)] = new
    read(bytes(data))


@given(names=st.dictionaries(st.text(max_size=30), JSON, max_size=30))
def test_a_description_with_more_fields_is_read_or_rejected(names: dict[str, Any]) -> None:
    spec = json.dumps({**names, **SPEC, **names})
    read(joined(HEADER | {"__metadata__": {METADATA_KEY: spec}}, TENSORS))
