"""Fingerprints: two backbones differ in named facts, or a prefix fits both."""

from typing import Any

import pytest
from pydantic import ValidationError

from prefixes import BackboneFingerprint
from tests.prefixes.facts import BACKBONE

OTHER: dict[str, Any] = {
    "model_type": "roberta",
    "hidden_size": 16,
    "num_layers": 3,
    "num_heads": 4,
    "head_size": 2,
    "embedding_size": 12,
    "max_positions": 64,
    "vocab_size": 100,
    "has_pooler": False,
    "weights_sha256": "a" * 64,
    "tokenizer_sha256": "b" * 64,
}


def changed(**facts: Any) -> BackboneFingerprint:
    return BackboneFingerprint(**{**BACKBONE.model_dump(), **facts})


def test_a_prefix_fits_the_same_backbone_under_another_name() -> None:
    assert BACKBONE.differences(changed(name="copy")) == ()


@pytest.mark.parametrize("field", OTHER)
def test_a_difference_names_the_fact_and_both_its_values(field: str) -> None:
    (difference,) = BACKBONE.differences(changed(**{field: OTHER[field]}))

    mine = getattr(BACKBONE, field)
    assert difference == f"{field}: trained on {mine}, this backbone has {OTHER[field]}"


def test_every_fact_but_the_name_is_compared_and_all_differences_are_told() -> None:
    told = [text.partition(":")[0] for text in BACKBONE.differences(changed(**OTHER))]

    assert sorted([*told, "name"]) == sorted(BackboneFingerprint.model_fields)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("hidden_size", 0),
        ("hidden_size", 10**12),
        ("num_layers", 1001),
        ("num_heads", -1),
        ("vocab_size", 10**4000),
        ("weights_sha256", "A" * 64),
        ("weights_sha256", "0" * 64 + "\n"),
        ("tokenizer_sha256", "0" * 63),
        ("name", "x" * 201),
        ("surprise", 1),
    ],
)
def test_a_fingerprint_of_no_real_backbone_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        changed(**{field: value})
