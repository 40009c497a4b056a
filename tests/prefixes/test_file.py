"""The container, seen by someone who wants to break its reader."""

import io
import json
import pickle
import struct
import sys
import tracemalloc
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from prefixes.errors import PrefixRejected
from prefixes.file import (
    MAX_FILE_BYTES,
    MAX_HEADER_BYTES,
    MAX_TENSORS,
    METADATA_KEY,
    Container,
    read_container,
    write_container,
)
from prefixes.findings import Finding

Header = dict[str, Any]

TENSOR = np.arange(6, dtype=np.float32).reshape(2, 3)
SOUND = write_container(Container('{"a": 1}', {"keys": TENSOR, "values": TENSOR.astype("f2")}))
METADATA = {METADATA_KEY: "{}"}


def lay_out(header: Header | bytes, body: bytes = b"") -> bytes:
    """Build a file by hand, sound or not."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def one_tensor(**changes: Any) -> bytes:
    """Build a file of one tensor of 24 bytes, with changes to its entry in the header."""
    entry = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24], **changes}
    return lay_out({"__metadata__": METADATA, "keys": entry}, TENSOR.tobytes())


def findings_of(data: bytes) -> tuple[Finding, ...]:
    with pytest.raises(PrefixRejected) as caught:
        read_container(data)
    for finding in caught.value.findings:
        assert finding.expected
        assert finding.found
        assert len(str(finding)) < 2000
        str(finding).encode()
    return caught.value.findings


def codes_of(data: bytes) -> set[str]:
    return {finding.code for finding in findings_of(data)}


def outcome(data: bytes) -> Container | None:
    """Read a file; None where it was refused. Any other exception fails the test."""
    try:
        return read_container(data)
    except PrefixRejected as error:
        str(error).encode()
        return None


shapes = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


@given(
    spec=st.text(st.characters(codec="utf-8"), max_size=200),
    tensors=st.dictionaries(
        st.text(st.characters(codec="utf-8"), max_size=20).filter(
            lambda name: name != "__metadata__"
        ),
        arrays.arrays(np.float32, shapes) | arrays.arrays(np.float16, shapes),
        max_size=4,
    ),
)
def test_what_was_written_is_read_back_and_written_the_same_again(
    spec: str, tensors: dict[str, np.ndarray[Any, np.dtype[Any]]]
) -> None:
    data = write_container(Container(spec, tensors))
    back = read_container(data)

    assert back.spec_json == spec
    assert set(back.tensors) == set(tensors)
    for name, tensor in tensors.items():
        assert back.tensors[name].dtype == tensor.dtype
        assert back.tensors[name].shape == tensor.shape
        np.testing.assert_array_equal(back.tensors[name], tensor)
    assert write_container(back) == data


def test_the_same_content_gives_the_same_bytes_in_any_order_and_memory_layout() -> None:
    reversed_order = {"values": TENSOR.astype("f2"), "keys": np.asfortranarray(TENSOR)}

    assert write_container(Container('{"a": 1}', reversed_order)) == SOUND


@pytest.mark.parametrize("low_bytes", [0x0280, 0x0380, 0x0480, 0x0580])
def test_a_header_whose_length_looks_like_a_pickle_is_read(low_bytes: int) -> None:
    header = json.dumps({"__metadata__": METADATA}).encode()

    assert read_container(lay_out(header.ljust(low_bytes))).spec_json == "{}"


def test_a_file_cut_off_at_any_length_is_refused() -> None:
    for length in range(len(SOUND)):
        assert codes_of(SOUND[:length]) <= {"truncated", "not_safetensors", "bad_entry"}, length


def test_bytes_after_the_end_are_refused() -> None:
    assert codes_of(SOUND + b"\0") == {"not_safetensors"}


@given(st.binary(max_size=300))
def test_random_bytes_are_refused(data: bytes) -> None:
    assert outcome(data) is None


@given(st.binary(max_size=300))
def test_random_bytes_as_a_header_are_refused(header: bytes) -> None:
    assert outcome(lay_out(header)) is None


@given(
    st.lists(st.tuples(st.integers(0, len(SOUND) - 1), st.integers(0, 255)), min_size=1, max_size=4)
)
def test_a_sound_file_with_changed_bytes_is_read_or_refused(edits: list[tuple[int, int]]) -> None:
    data = bytearray(SOUND)
    for position, value in edits:
        data[position] = value

    outcome(bytes(data))


@given(st.integers(0, len(SOUND)), st.integers(0, len(SOUND)), st.binary(max_size=20))
def test_a_sound_file_with_a_part_replaced_is_read_or_refused(
    begin: int, end: int, middle: bytes
) -> None:
    outcome(SOUND[:begin] + middle + SOUND[end:])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)
entries = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from(["F32", "F16", "BF16", "F64", "I64", "f32"]) | json_values,
        "shape": st.lists(st.integers(-2, 7) | st.integers(), max_size=10) | json_values,
        "data_offsets": st.lists(st.integers(-9, 40) | st.integers(), max_size=3) | json_values,
        "other": json_values,
    },
)


@given(
    st.dictionaries(st.text(max_size=8), entries | json_values, max_size=4),
    st.sampled_from([METADATA, {}, None, {METADATA_KEY: 1}, {**METADATA, "x": 1}]),
    st.binary(max_size=40),
)
def test_any_json_as_a_header_is_read_or_refused(
    tensors: Header, metadata: object, body: bytes
) -> None:
    outcome(lay_out({**tensors, "__metadata__": metadata}, body))


@pytest.mark.parametrize(
    "claimed", [MAX_HEADER_BYTES + 1, 2**40, 2**63, 2**64 - 1], ids=lambda size: f"{size}-bytes"
)
def test_a_header_that_claims_too_much_is_refused_at_once(claimed: int) -> None:
    data = struct.pack("<Q", claimed) + b"{" + b" " * 91

    (finding,) = findings_of(data)

    assert finding.code == "header_too_large"
    assert str(claimed) in finding.found


def test_a_header_longer_than_the_file_is_refused() -> None:
    (finding,) = findings_of(struct.pack("<Q", 1000) + b"{}")

    assert (finding.code, finding.expected, finding.found) == (
        "truncated",
        "a header of 1000 bytes",
        "2 bytes",
    )


def test_a_file_beyond_the_limit_is_refused_by_its_size_alone() -> None:
    (finding,) = findings_of(bytes(MAX_FILE_BYTES + 1))

    assert finding.code == "too_large"


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"[]", id="list"),
        pytest.param(b"null", id="null"),
        pytest.param(b"{", id="cut-off"),
        pytest.param(b"{}{}", id="two-objects"),
        pytest.param(b'{"a": {}, "a": {}}', id="twice-the-same-name"),
        pytest.param(b'{"__metadata__": {"x": "", "x": ""}}', id="twice-the-same-key"),
        pytest.param(b'{"\\ud800": {}}', id="half-surrogate-name"),
        pytest.param(b'{"a": {"dtype": "\\udfff"}}', id="half-surrogate-dtype"),
        pytest.param(b'{"__metadata__": {"polyprefix": "\\ud800"}}', id="half-surrogate-spec"),
        pytest.param(b'{"a": ' + b"9" * 5000 + b"}", id="huge-number"),
        pytest.param(b'{"\xff": {}}', id="not-utf-8"),
        pytest.param('{"__metadata__": {"polyprefix": "{}"}}'.encode("utf-16"), id="utf-16"),
        pytest.param(b"\xef\xbb\xbf{}", id="byte-order-mark"),
    ],
)
def test_a_header_that_is_no_sound_json_object_is_refused(header: bytes) -> None:
    assert codes_of(lay_out(header)) == {"not_safetensors"}


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_nesting_of_any_depth_is_refused(opening: bytes) -> None:
    closing = b"]" if opening == b"[" else b"}"
    limit = sys.getrecursionlimit()
    for depth in (*range(20, limit + 10, 7), *range(limit - 120, limit + 10), 100_000):
        header = b'{"a":' + opening * depth + b"1" + closing * depth + b"}"
        assert codes_of(lay_out(header)) <= {"not_safetensors", "no_spec", "bad_entry"}


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(b"[" * (MAX_HEADER_BYTES - 1), id="deep"),
        pytest.param(b'{"a":[' + b"[]," * 690_000 + b"[]]}", id="many-lists"),
        pytest.param(b'{"a":[' + b"{}," * 690_000 + b"{}]}", id="many-objects"),
        pytest.param(
            b'{"a":{"dtype":"F32","shape":[' + b"99," * 690_000 + b'9],"data_offsets":[0,0]}}',
            id="long-shape",
        ),
        pytest.param(
            json.dumps({f"t{n}": 0 for n in range(150_000)}).encode()[:-1] + b"}", id="many-tensors"
        ),
        pytest.param(
            json.dumps(
                {"a": {"dtype": "F32", "shape": [10**4000] * 400, "data_offsets": [0, 0]}}
            ).encode(),
            id="huge-sizes",
        ),
    ],
)
def test_a_header_bomb_takes_little_memory(header: bytes) -> None:
    data = lay_out(header)
    tracemalloc.start()
    try:
        findings = findings_of(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(findings) <= 2
    assert peak < 120 * 2**20


@pytest.mark.parametrize(
    ("changes", "code", "expected", "found"),
    [
        ({"dtype": "F64"}, "bad_dtype", "F32 or F16", "F64"),
        ({"dtype": "BF16"}, "bad_dtype", "F32 or F16", "BF16"),
        ({"dtype": "I64"}, "bad_dtype", "F32 or F16", "I64"),
        ({"dtype": "x" * 999}, "bad_dtype", "F32 or F16", "x" * 20),
        ({"dtype": 1}, "bad_entry", "dtype, shape and data_offsets", "{'data_offsets'"),
        ({"dtype": None}, "bad_entry", "dtype, shape and data_offsets", "{'data_offsets'"),
        ({"shape": "6"}, "bad_entry", "dtype, shape and data_offsets", "{'data_offsets'"),
        ({"shape": [-2, -3]}, "bad_shape", "sizes of zero or more", "[-2, -3]"),
        ({"shape": [2.0, 3]}, "bad_shape", "sizes of zero or more", "[2.0, 3]"),
        ({"shape": [True, 6]}, "bad_shape", "sizes of zero or more", "[True, 6]"),
        ({"shape": [float("nan")]}, "bad_shape", "sizes of zero or more", "[nan]"),
        ({"shape": ["\ud800"]}, "bad_shape", "sizes of zero or more", r"['\ud800']"),
        ({"shape": [0, 2**70]}, "bad_shape", "sizes of zero or more", "[0, 118"),
        ({"shape": [1] * 9}, "bad_shape", "at most 8 sizes", "[1, 1, 1"),
        ({"shape": [2, 4]}, "bad_entry", "32 bytes for F32 [2, 4]", "24 bytes"),
        ({"shape": []}, "bad_entry", "4 bytes for F32 []", "24 bytes"),
        ({"data_offsets": [0]}, "bad_entry", "dtype, shape and data_offsets", "{'data_offsets'"),
        ({"data_offsets": [0, 25]}, "bad_entry", "within the file's 24 bytes", "[0, 25]"),
        ({"data_offsets": [-24, 0]}, "bad_entry", "within the file's 24 bytes", "[-24, 0]"),
        ({"data_offsets": [24, 0]}, "bad_entry", "within the file's 24 bytes", "[24, 0]"),
        ({"data_offsets": [0.0, 24.0]}, "bad_entry", "within the file's 24", "[0.0, 24.0]"),
        ({"data_offsets": [False, 24]}, "bad_entry", "within the file's 24", "[False, 24]"),
        ({"data_offsets": [2**64, 2**64 + 24]}, "bad_entry", "within the file's 24", "[18446"),
    ],
)
def test_a_broken_entry_is_told_with_what_was_expected_and_found(
    changes: dict[str, Any], code: str, expected: str, found: str
) -> None:
    (finding,) = findings_of(one_tensor(**changes))

    assert (finding.code, finding.subject) == (code, "keys")
    assert expected in finding.expected
    assert finding.found.startswith(found)


@pytest.mark.parametrize(
    "offsets",
    [
        pytest.param([(0, 24), (0, 24)], id="the-same-bytes-twice"),
        pytest.param([(0, 24), (12, 36)], id="overlap"),
        pytest.param([(0, 24), (25, 49)], id="gap"),
        pytest.param([(4, 28), (28, 52)], id="gap-at-the-start"),
    ],
)
def test_tensors_that_do_not_lie_end_to_end_are_refused(offsets: list[tuple[int, int]]) -> None:
    header: Header = {"__metadata__": METADATA}
    for number, span in enumerate(offsets):
        header[f"t{number}"] = {"dtype": "F32", "shape": [2, 3], "data_offsets": span}

    assert codes_of(lay_out(header, bytes(52))) == {"not_safetensors"}


def test_the_defects_of_all_entries_and_of_the_metadata_are_told_at_once() -> None:
    header = {
        "a": {"dtype": "F64", "shape": [3], "data_offsets": [0, 24]},
        "b": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 24]},
        "c": 7,
    }

    findings = findings_of(lay_out(header, bytes(24)))

    assert [(f.code, f.subject) for f in findings] == [
        ("no_spec", "file"),
        ("bad_dtype", "a"),
        ("bad_shape", "b"),
        ("bad_entry", "c"),
    ]


@pytest.mark.parametrize("metadata", [None, 1, [], {}, {METADATA_KEY: 1}, {METADATA_KEY: None}])
def test_a_file_without_a_description_is_refused(metadata: object) -> None:
    assert codes_of(lay_out({"__metadata__": metadata})) == {"no_spec"}


def test_a_file_of_other_weights_is_refused_with_a_hint() -> None:
    (finding,) = findings_of(safetensors.numpy.save({"weight": TENSOR}))

    assert finding.code == "no_spec"
    assert "polyprefix train" in finding.hint


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64, torch.int64])
def test_tensors_of_other_types_written_by_other_tools_are_refused(dtype: torch.dtype) -> None:
    data = safetensors.torch.save({"keys": torch.ones(3).to(dtype)}, metadata=METADATA)

    assert codes_of(data) == {"bad_dtype"}


def torch_checkpoint(*, as_zip: bool) -> bytes:
    file = io.BytesIO()
    torch.save({"w": torch.ones(3)}, file, _use_new_zipfile_serialization=as_zip)
    return file.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(torch_checkpoint(as_zip=True), id="torch-zip"),
        pytest.param(torch_checkpoint(as_zip=False), id="torch-legacy"),
        pytest.param(pickle.dumps({"w": [1.0]}, protocol=2), id="pickle-2"),
        pytest.param(pickle.dumps({"w": [1.0]}, protocol=5), id="pickle-5"),
        pytest.param(pickle.dumps(None), id="tiny-pickle"),
    ],
)
def test_a_pickle_is_refused_as_what_it_is(data: bytes) -> None:
    (finding,) = findings_of(data)

    assert finding.code == "pickle"
    assert "safetensors" in finding.hint


def test_a_reader_never_unpickles() -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return pytest.fail, ("the pickle was run",)

    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        findings_of(pickle.dumps(Trap(), protocol=protocol))


def test_too_many_tensors_are_refused_in_one_sentence() -> None:
    tensors = {f"t{n}": np.zeros(0, np.float32) for n in range(MAX_TENSORS + 1)}

    (finding,) = findings_of(safetensors.numpy.save(tensors, metadata=METADATA))

    assert (finding.code, finding.found) == ("too_many_tensors", "65 tensors")


def test_a_container_that_no_reader_would_accept_is_not_written() -> None:
    with pytest.raises(PrefixRejected, match="a header of at most"):
        write_container(Container("x" * (MAX_HEADER_BYTES + 1), {}))


def test_a_tensor_that_was_read_can_be_changed_without_touching_the_file() -> None:
    tensor = read_container(SOUND).tensors["keys"]
    tensor += 1

    np.testing.assert_array_equal(read_container(SOUND).tensors["keys"], TENSOR)
