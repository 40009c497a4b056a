"""Checks: every defect of a prefix is told, each with what was expected and what was found."""

import json
import tracemalloc
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from prefixes.checks import (
    MAX_LISTED,
    check_backbone,
    check_backbones,
    check_tensors,
    expected_shapes,
    parse_spec,
)
from prefixes.errors import PrefixRejected
from prefixes.findings import Finding
from prefixes.spec import Decisions, HeadSpec
from tests.factories import make_spec
from tests.prefixes.facts import BACKBONE

Tensors = dict[str, NDArray[Any]]

SPEC = make_spec(BACKBONE)
DENSE = make_spec(BACKBONE, head=HeadSpec(pooling="mean", activation="tanh"))


def sound_tensors() -> Tensors:
    return {name: np.ones(shape, np.float32) for name, shape in expected_shapes(SPEC).items()}


def spec_json(**changes: Any) -> str:
    return json.dumps({**SPEC.model_dump(mode="json"), **changes})


def findings_of(text: str) -> tuple[Finding, ...]:
    with pytest.raises(PrefixRejected) as caught:
        parse_spec(text)
    return caught.value.findings


def test_a_sound_description_is_read() -> None:
    assert parse_spec(SPEC.model_dump_json()) == SPEC


def test_every_wrong_field_of_a_description_is_told() -> None:
    findings = findings_of(
        spec_json(labels=["a", 1], prefix_length=-1, surprise=1, backbone={"name": "x"})
    )

    subjects = {finding.subject for finding in findings}
    assert {"spec.labels.1", "spec.prefix_length", "spec.surprise"} <= subjects
    assert {"spec.backbone.weights_sha256", "spec.backbone.hidden_size"} <= subjects
    assert {finding.code for finding in findings} == {"bad_spec"}


def test_a_finding_of_a_description_tells_what_was_expected_and_found() -> None:
    (finding,) = findings_of(spec_json(prefix_length=-1))

    assert str(finding) == (
        "spec.prefix_length: expected Input should be greater than or equal to 0, found -1"
    )


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("null", id="null"),
        pytest.param("[]", id="list"),
        pytest.param("{", id="cut-off"),
        pytest.param('{"a":' * 100_000, id="deep"),
        pytest.param(spec_json(max_length=10)[:-1] + ', "x": "\\ud800"}', id="half-surrogate"),
        pytest.param("\ud800", id="not-unicode"),
        pytest.param(spec_json(max_length=int("9" * 4000)), id="huge-number"),
        pytest.param(spec_json(max_length=float("nan")), id="nan"),
        pytest.param(
            spec_json(
                provenance={
                    "created_at": "2026-01-01T00:00:00Z",
                    "tool": "x",
                    "recipe": {"rate": float("inf")},
                }
            ),
            id="infinite-recipe",
        ),
    ],
)
def test_a_hostile_description_is_refused_in_words_that_can_be_sent(text: str) -> None:
    for finding in findings_of(text):
        assert finding.subject.startswith("spec")
        assert finding.expected
        assert finding.found
        str(finding).encode()


@pytest.mark.parametrize(
    "flood",
    [
        pytest.param({"labels": [1] * 500_000}, id="labels"),
        pytest.param({"thresholds": [7] * 500_000}, id="thresholds"),
        pytest.param({"metrics": dict.fromkeys(map(str, range(100_000)), "x")}, id="metrics"),
        pytest.param({f"x{n}": 1 for n in range(100_000)}, id="unknown-fields"),
        pytest.param({"backbone": {f"x{n}": 1 for n in range(100_000)}}, id="backbone"),
        pytest.param(
            {"golden": [{"fields": {"text": "a"}, "logits": ["x"] * 9000}] * 30}, id="golden"
        ),
        pytest.param({"labels": [1] * 10_000}, id="wrong-labels"),
    ],
)
def test_a_flood_of_defects_makes_a_short_list_and_takes_little_memory(
    flood: dict[str, Any],
) -> None:
    text = spec_json(**flood)
    tracemalloc.start()
    try:
        findings = findings_of(text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(findings) <= MAX_LISTED
    assert peak < 64 * 2**20


def test_sound_tensors_have_no_findings() -> None:
    assert check_tensors(SPEC, sound_tensors()) == ()


def test_a_dense_layer_is_expected_exactly_when_there_is_an_activation() -> None:
    dense = {"head.dense.weight", "head.dense.bias"}

    assert set(expected_shapes(DENSE)) - set(expected_shapes(SPEC)) == dense
    assert {f.subject for f in check_tensors(DENSE, sound_tensors())} == dense


def test_all_defects_of_all_tensors_are_told_at_once() -> None:
    tensors = sound_tensors()
    del tensors["prefix.keys"]
    tensors["prefix.values"] = tensors["prefix.values"].astype(np.float64)
    tensors["head.output.weight"] = tensors["head.output.weight"].T
    tensors["head.output.bias"] = np.array([np.nan, np.inf], np.float32)
    tensors["extra"] = np.zeros(3, np.float32)

    findings = check_tensors(SPEC, tensors)

    assert {(f.code, f.subject) for f in findings} == {
        ("missing_tensor", "prefix.keys"),
        ("bad_dtype", "prefix.values"),
        ("bad_shape", "head.output.weight"),
        ("not_finite", "head.output.bias"),
        ("unexpected_tensor", "extra"),
    }
    assert len(findings) == 5


def test_a_wrong_shape_is_told_with_the_expected_and_the_found_one() -> None:
    tensors = sound_tensors()
    tensors["prefix.keys"] = np.zeros((2, 2, 5, 4), np.float32)

    (finding,) = check_tensors(SPEC, tensors)

    assert str(finding) == "prefix.keys: expected shape (2, 2, 4, 4), found shape (2, 2, 5, 4)"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_numbers_that_are_not_finite_are_counted(
    value: float, dtype: type[np.floating[Any]]
) -> None:
    tensors = {name: tensor.astype(dtype) for name, tensor in sound_tensors().items()}
    tensors["prefix.keys"][0, 0, :3, 0] = value

    (finding,) = check_tensors(SPEC, tensors)

    assert (finding.code, finding.subject) == ("not_finite", "prefix.keys")
    assert finding.found == "3 NaN or infinite values"


@pytest.mark.parametrize("dtype", ["float64", "int64", "int32", ">f4", "bool"])
def test_a_tensor_of_another_type_is_refused(dtype: str) -> None:
    tensors = sound_tensors()
    tensors["prefix.keys"] = tensors["prefix.keys"].astype(dtype)

    (finding,) = check_tensors(SPEC, tensors)

    assert (finding.code, finding.expected) == ("bad_dtype", "float32 or float16")


def test_a_prefix_fits_the_backbone_it_was_trained_on() -> None:
    assert check_backbone(SPEC, BACKBONE.model_copy(update={"name": "copy"})) == ()


def test_every_difference_of_the_backbone_is_a_finding() -> None:
    other = BACKBONE.model_copy(
        update={"hidden_size": 16, "tokenizer_sha256": "f" * 64, "has_pooler": False}
    )

    findings = check_backbone(SPEC, other)

    assert [finding.found for finding in findings] == [
        "hidden_size: trained on 8, this backbone has 16",
        "has_pooler: trained on True, this backbone has False",
        f"tokenizer_sha256: trained on {'1' * 64}, this backbone has {'f' * 64}",
    ]
    assert all(finding.hint for finding in findings)


def test_a_prefix_fits_a_server_with_its_backbone_among_others() -> None:
    first, second = (
        BACKBONE.model_copy(update={"name": name, "weights_sha256": digit * 64})
        for name, digit in (("first", "a"), ("second", "b"))
    )
    assert check_backbones(SPEC, [first, BACKBONE, second]) == ()
    assert check_backbones(SPEC, [first]) == check_backbone(SPEC, first)

    (finding,) = check_backbones(SPEC, [first, second])
    assert finding.code == "backbone_mismatch"
    assert finding.found == BACKBONE.label
    assert finding.expected == f"one of the backbones {first.label}, {second.label}"


def additions_findings(additions: str) -> tuple[Finding, ...]:
    with pytest.raises(PrefixRejected) as caught:
        parse_spec(SPEC.model_dump_json(), additions)
    return caught.value.findings


def test_additions_are_fields_of_the_description() -> None:
    spec = parse_spec(SPEC.model_dump_json(), '{"decisions": {"min_score": 0.5}}')

    assert spec == SPEC.model_copy(update={"decisions": Decisions(min_score=0.5)})


def test_a_rank_is_an_addition_that_only_vectors_with_updates_have() -> None:
    vectors = SPEC.model_copy(
        update={"method": "vectors", "prefix_length": 0, "position_offset": 0}
    )
    assert SPEC.written()[1] is None
    assert vectors.written()[1] is None
    text, additions = vectors.model_copy(update={"rank": 8}).written()
    assert "rank" not in json.loads(text)
    assert json.loads(additions or "") == {"rank": 8}
    assert parse_spec(text, additions).rank == 8


@pytest.mark.parametrize("name", ["norms.down", "norms.up"])
def test_updates_need_both_matrices(name: str) -> None:
    spec = SPEC.model_copy(
        update={"method": "vectors", "prefix_length": 0, "position_offset": 0, "rank": 3}
    )
    tensors = {one: np.zeros(shape, np.float32) for one, shape in expected_shapes(spec).items()}
    assert check_tensors(spec, tensors) == ()
    (finding,) = check_tensors(spec, {one: x for one, x in tensors.items() if one != name})
    assert (finding.code, finding.subject) == ("missing_tensor", name)


@pytest.mark.parametrize(
    ("additions", "subject", "found"),
    [
        pytest.param('{"rank": 65}', "spec.rank", "65", id="large-rank"),
        pytest.param('{"rank": 8}', "spec", "", id="rank-of-a-prefix"),
        pytest.param("", "polyprefix.additions", "JSONDecodeError", id="empty"),
        pytest.param("[]", "polyprefix.additions", "list", id="list"),
        pytest.param("[" * 100_000, "polyprefix.additions", "RecursionError", id="deep"),
        pytest.param('{"labels": []}', "polyprefix.additions", "'labels'", id="other-field"),
        pytest.param('{"\\ud800": 1}', "polyprefix.additions", "'\\ud800'", id="surrogate"),
        pytest.param(
            '{"decisions": {"min_score": NaN}}', "spec.decisions.min_score", "nan", id="nan"
        ),
        pytest.param(
            '{"decisions": {"thresholds": [0.5]}}',
            "spec",
            "",
            id="too-few-thresholds",
        ),
    ],
)
def test_bad_additions_are_refused(additions: str, subject: str, found: str) -> None:
    (finding,) = additions_findings(additions)

    assert (finding.code, finding.subject) == ("bad_spec", subject)
    assert found in finding.found
    str(finding).encode()
