"""A prefix in memory and as bytes: the same content, the same digest, and nothing unsound."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefixes import GoldenExample, HeadSpec, Prefix, digest_of
from prefixes.errors import PrefixRejected
from prefixes.file import (
    MAX_FILE_BYTES,
    METADATA_KEY,
    Container,
    read_container,
    write_container,
)
from prefixes.spec import Decisions
from tests.factories import make_prefix, with_tensors
from tests.prefixes.facts import BACKBONE


def refusal_of(data: bytes, **options: Any) -> set[tuple[str, str]]:
    with pytest.raises(PrefixRejected) as caught:
        Prefix.from_bytes(data, **options)
    return {(finding.code, finding.subject) for finding in caught.value.findings}


@given(
    num_labels=st.integers(1, 9),
    prefix_length=st.integers(1, 40),
    activation=st.sampled_from([None, "tanh", "gelu", "relu"]),
    dtype=st.sampled_from([np.float32, np.float16]),
    seed=st.integers(0, 9),
)
def test_a_prefix_survives_the_way_through_its_file(
    num_labels: int, prefix_length: int, activation: Any, dtype: type, seed: int
) -> None:
    made = make_prefix(
        BACKBONE,
        seed=seed,
        problem_type="regression",
        labels=tuple(f"label {n}" for n in range(num_labels)),
        prefix_length=prefix_length,
        head=HeadSpec(pooling="first_token", activation=activation),
    )
    prefix = Prefix(made.spec, {name: x.astype(dtype) for name, x in made.tensors.items()})

    data = prefix.to_bytes()
    back = Prefix.from_bytes(data, fits=[BACKBONE])

    assert back.spec == prefix.spec
    assert back.tensors.keys() == prefix.tensors.keys()
    for name, tensor in prefix.tensors.items():
        assert back.tensors[name].dtype == dtype
        np.testing.assert_array_equal(back.tensors[name], tensor)
    assert back.to_bytes() == data


def test_the_same_content_has_the_same_digest_and_any_change_another() -> None:
    prefix = make_prefix(BACKBONE)
    other_spec = prefix.spec.model_copy(update={"labels": ("bad", "fine")})

    digest = digest_of(prefix.to_bytes())

    assert digest == digest_of(make_prefix(BACKBONE).to_bytes())
    assert digest != digest_of(make_prefix(BACKBONE, seed=1).to_bytes())
    changed = Prefix(other_spec, prefix.tensors)
    assert digest != digest_of(changed.to_bytes())


def test_a_digest_is_the_sha256_of_the_files_bytes() -> None:
    data = make_prefix(BACKBONE).to_bytes()

    assert digest_of(data) == hashlib.sha256(data).hexdigest()


def test_tensors_in_any_memory_layout_give_the_same_file() -> None:
    prefix = make_prefix(BACKBONE)
    strided = with_tensors(
        prefix, {"prefix.keys": np.asfortranarray(prefix.tensors["prefix.keys"])}
    )

    assert strided.to_bytes() == prefix.to_bytes()


def test_a_prefix_is_read_from_a_path(tmp_path: Path) -> None:
    prefix = make_prefix(BACKBONE)
    path = tmp_path / "mood.safetensors"
    path.write_bytes(prefix.to_bytes())

    assert Prefix.load(path, fits=[BACKBONE]).to_bytes() == prefix.to_bytes()


def test_a_path_to_something_huge_is_refused_without_reading_it_all(tmp_path: Path) -> None:
    path = tmp_path / "huge.safetensors"
    with path.open("wb") as file:
        file.truncate(1000 * MAX_FILE_BYTES)  # sparse: takes no space

    with pytest.raises(PrefixRejected, match="at most"):
        Prefix.load(path)


def test_a_prefix_for_another_backbone_is_refused_by_name_of_the_difference() -> None:
    data = make_prefix(BACKBONE).to_bytes()
    other = BACKBONE.model_copy(update={"weights_sha256": "e" * 64})

    with pytest.raises(PrefixRejected, match="weights_sha256: trained on 000"):
        Prefix.from_bytes(data, fits=[other])


def test_defects_of_tensors_and_of_the_fit_are_told_together() -> None:
    prefix = make_prefix(BACKBONE)
    tensors = {
        "prefix.keys": prefix.tensors["prefix.keys"][:1],
        "prefix.values": prefix.tensors["prefix.values"],
        "head.output.weight": prefix.tensors["head.output.weight"] * np.float32(np.nan),
    }
    data = write_container(Container(prefix.spec.model_dump_json(), tensors))

    refusal = refusal_of(data, fits=[BACKBONE.model_copy(update={"vocab_size": 7})])

    assert refusal == {
        ("bad_shape", "prefix.keys"),
        ("not_finite", "head.output.weight"),
        ("missing_tensor", "head.output.bias"),
        ("backbone_mismatch", "spec.backbone"),
    }


def test_a_file_with_an_unsound_description_is_refused() -> None:
    assert refusal_of(write_container(Container("{}", {}))) >= {
        ("bad_spec", "spec.prefix_length"),
        ("bad_spec", "spec.backbone"),
    }


def test_a_prefix_whose_tensors_do_not_fit_its_description_is_not_written() -> None:
    prefix = make_prefix(BACKBONE)

    with pytest.raises(PrefixRejected, match=r"prefix\.keys: expected shape"):
        with_tensors(prefix, {"prefix.keys": prefix.tensors["prefix.keys"][1:]}).to_bytes()


@pytest.mark.parametrize("half", ["weight", "bias"])
def test_half_a_dense_layer_is_never_dropped_in_silence(half: str) -> None:
    prefix = make_prefix(BACKBONE)
    shape = (8, 8) if half == "weight" else (8,)
    dense = {f"head.dense.{half}": np.ones(shape, np.float32)}

    with pytest.raises(PrefixRejected, match=r"head\.dense"):
        with_tensors(prefix, dense).to_bytes()


def test_a_description_too_long_for_a_reader_is_not_written() -> None:
    labels = tuple(f"{n:05}" + "漢" * 190 for n in range(10_000))
    prefix = make_prefix(BACKBONE, labels=labels)

    with pytest.raises(PrefixRejected, match="a header of at most"):
        prefix.to_bytes()


def test_golden_examples_travel_with_the_file() -> None:
    golden = (GoldenExample(fields={"text": "a good film"}, logits=(0.1, -2.0)),)
    prefix = make_prefix(BACKBONE, golden=golden)

    assert Prefix.from_bytes(prefix.to_bytes()).spec.golden == golden


def test_decisions_are_written_where_readers_of_0_1_0_ignore_them() -> None:
    plain = make_prefix(BACKBONE)
    decisions = Decisions(min_score=0.25)
    ruled = Prefix(plain.spec.model_copy(update={"decisions": decisions}), plain.tensors)

    data = ruled.to_bytes()

    container = read_container(data)
    assert container.spec_json == read_container(plain.to_bytes()).spec_json
    assert Prefix.from_bytes(data).spec.decisions == decisions
    assert {ruled.to_bytes() for _ in range(20)} == {data}


def test_a_file_without_additions_has_the_bytes_of_version_0_1_0() -> None:
    data = make_prefix(BACKBONE).to_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])

    assert list(header["__metadata__"]) == [METADATA_KEY]
    assert "decisions" not in json.loads(header["__metadata__"][METADATA_KEY])
