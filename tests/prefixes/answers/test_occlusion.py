"""Changes of a label's logit without parts of the input."""

import numpy as np
import pytest

from prefixes.answers import explain
from prefixes.backbone import Backbone
from tests.factories import make_spec

LOGITS = np.array([1.0, 3.0, 2.0], dtype=np.float32)
OTHER = np.array([1.5, 1.0, 4.0], dtype=np.float32)


@pytest.mark.parametrize(
    ("label", "expected", "logit", "change"),
    [("a", "a", 1, 0.5), ("c", "c", 2, 2), (None, "b", 3, -2), ("other", "b", 3, -2)],
)
def test_the_change_is_that_of_one_label(
    backbone: Backbone, label: str | None, expected: str, logit: float, change: float
) -> None:
    spec = make_spec(backbone.fingerprint, labels=("a", "b", "c"))
    found = explain(spec, LOGITS, [OTHER, None, LOGITS], label=label)
    assert (found.label, found.logit) == (expected, logit)
    assert found.changes == [change, None, 0]


def test_of_equal_labels_the_first_is_explained(backbone: Backbone) -> None:
    spec = make_spec(backbone.fingerprint, labels=("a", "b"))
    assert explain(spec, np.ones(2, dtype=np.float32), []).label == "a"


@pytest.mark.parametrize("count", [1, 700], ids=["one-label", "hundreds"])
def test_one_label_and_hundreds_are_explained(backbone: Backbone, count: int) -> None:
    labels = [f"label {number}" for number in range(count)]
    several = "multi_label_classification"  # the only type that may have a single label
    spec = make_spec(backbone.fingerprint, labels=labels, problem_type=several)
    logits = np.arange(count, dtype=np.float32)
    found = explain(spec, logits, [logits - 2, None])
    assert (found.label, found.logit) == (labels[-1], count - 1)
    assert found.changes == [-2, None]
