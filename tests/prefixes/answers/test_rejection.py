"""Rejection rules: the score of a text, and the shapes and numbers that a file may hold."""

import base64
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from prefixes.answers import rejection_scores, rejection_verdict
from prefixes.spec import Decisions, PrefixSpec, Rejection, Vectors
from tests.factories import make_spec
from tests.prefixes.facts import BACKBONE

RNG = np.random.default_rng(0)


def make_rule(hidden: int, labels: int = 2, dimensions: int = 3, cutoff: float = 0.0) -> Rejection:
    return Rejection(
        cutoff=cutoff,
        kept=0.95,
        projection=Vectors.of(RNG.normal(size=(hidden, dimensions))),
        centers=Vectors.of(RNG.normal(size=(labels, dimensions))),
    )


def is_rejected(rule: Rejection, logits: Any) -> bool:
    verdict = rejection_verdict(rule, logits, None)
    assert verdict is not None
    return verdict.is_rejected


@pytest.mark.parametrize("labels", [1, 4, 700])
def test_the_score_is_the_energy_minus_the_distance_to_the_nearest_center(labels: int) -> None:
    rule = make_rule(hidden=8, labels=labels)
    assert rule.centers is not None
    logits, projected = RNG.normal(size=(5, labels)), RNG.normal(size=(5, 3))
    found = rejection_scores(rule, logits, projected)
    for score, row, place in zip(found, logits, projected, strict=True):
        nearest = min(float(np.linalg.norm(place - center)) for center in rule.centers.matrix)
        assert score == pytest.approx(np.log(np.exp(row).sum()) - nearest, abs=1e-9)


def test_without_vectors_the_score_is_the_energy_even_of_huge_logits() -> None:
    rule = Rejection(cutoff=1.0, kept=0.95)
    found = rejection_scores(rule, np.array([[1e4, 1e4], [-1e4, -2e4]], np.float32), None)
    assert found.tolist() == pytest.approx([1e4 + np.log(2), -1e4])


def test_a_score_at_the_cutoff_is_in_scope_and_nan_is_not() -> None:
    logits = np.array([0.0, 0.0])
    at_cutoff = Rejection(
        cutoff=float(rejection_scores(Rejection(cutoff=0, kept=0.5), logits[None], None)[0]),
        kept=0.5,
    )
    above = at_cutoff.model_copy(update={"cutoff": np.nextafter(at_cutoff.cutoff, 9.0)})
    assert not is_rejected(at_cutoff, logits)
    assert is_rejected(above, logits)
    assert is_rejected(at_cutoff, np.array([np.nan, 0.0]))


def test_a_rule_with_vectors_says_nothing_without_projected_features() -> None:
    assert rejection_verdict(make_rule(hidden=4), np.zeros(2), None) is None


def test_vectors_are_read_back_as_they_were_rounded() -> None:
    matrix = RNG.normal(size=(7, 3))
    vectors = Vectors.model_validate_json(Vectors.of(matrix).model_dump_json())
    np.testing.assert_array_equal(vectors.matrix, matrix.astype(np.float16).astype(np.float32))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"shape": (1, 2), "data": "!!!!"}, "not valid base64"),
        ({"shape": (1, 2), "data": base64.b64encode(b"12345").decode()}, "expected 4 bytes"),
        ({"shape": (0, 2), "data": ""}, "greater than or equal to 1"),
        ({"shape": (1,), "data": "AAA="}, "shape"),
        (
            {
                "shape": (1, 1),
                "data": base64.b64encode(np.array([np.nan], "<f2").tobytes()).decode(),
            },
            "1 NaN or infinite",
        ),
    ],
)
def test_damaged_vectors_are_rejected(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Vectors(**fields)


def test_numbers_that_float16_cannot_hold_are_rejected() -> None:
    with pytest.raises(ValidationError, match="1 NaN or infinite"), np.errstate(over="ignore"):
        Vectors.of(np.array([[1e9, 1.0]]))


def test_projection_and_centers_need_each_other() -> None:
    with pytest.raises(ValidationError, match="need each other"):
        Rejection(cutoff=0, kept=0.9, centers=Vectors.of(np.ones((2, 2))))


@pytest.mark.parametrize("kept", [0.0, 1.0, float("nan")])
def test_the_kept_share_lies_between_0_and_1(kept: float) -> None:
    with pytest.raises(ValidationError, match="kept"):
        Rejection(cutoff=0, kept=kept)


def described(rule: Rejection, **changes: Any) -> PrefixSpec:
    return make_spec(BACKBONE, decisions=Decisions(rejection=rule), **changes)


def test_a_rule_must_fit_the_labels_and_the_backbone() -> None:
    hidden = BACKBONE.hidden_size
    assert described(make_rule(hidden)).rejection is not None
    with pytest.raises(ValidationError, match=r"rejection\.centers must have shape \[2, 3\]"):
        described(make_rule(hidden, labels=5))
    with pytest.raises(ValidationError, match=r"rejection\.projection must have shape"):
        described(make_rule(hidden + 1))


@pytest.mark.parametrize("problem_type", ["multi_label_classification", "regression"])
def test_only_single_label_tasks_have_a_rule(problem_type: str) -> None:
    with pytest.raises(ValidationError, match="rejection belongs to single_label"):
        described(Rejection(cutoff=0, kept=0.9), problem_type=problem_type)
    with pytest.raises(ValidationError, match="rejection belongs to single_label"):
        described(Rejection(cutoff=0, kept=0.9), task_type="token_classification")
