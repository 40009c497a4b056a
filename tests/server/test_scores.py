import numpy as np
import pytest

from prefixes import PrefixRef
from prefixes.backbone import Backbone, EncodedText
from server.api.scores import probabilities, ranked_scores
from server.batching.timings import Timings
from server.engine.values import InferenceResult
from server.errors import InferenceFailed
from tests.factories import make_spec

TOPICS = {"problem_type": "multi_label_classification", "labels": ("a", "b", "c")}


def answer(backbone: Backbone, logits: list[float], **spec: object) -> InferenceResult:
    return InferenceResult(
        PrefixRef("acme", "x", version=1),
        "0" * 64,
        make_spec(backbone.fingerprint, **spec),
        ("a text",),
        texts=(EncodedText([1] * 3, [0] * 3),),
        outputs=(np.array(logits, dtype=np.float32),),
        timings=Timings(0.0, 0.0),
    )


def test_logits_of_any_size_become_probabilities(backbone: Backbone) -> None:
    huge = answer(backbone, [3e4, -3e4])
    assert probabilities(huge).tolist() == [1.0, 0.0]
    assert probabilities(huge, "sigmoid").tolist() == [1.0, 0.0]


def test_each_problem_type_has_its_own_activation(backbone: Backbone) -> None:
    assert probabilities(answer(backbone, [0.0, np.log(3)])).tolist() == pytest.approx([0.25, 0.75])
    multi = answer(backbone, [0.0, np.log(3), -np.log(3)], **TOPICS)
    assert probabilities(multi).tolist() == pytest.approx([0.5, 0.75, 0.25])
    value = answer(backbone, [-3.5], problem_type="regression", labels=("stars",))
    assert probabilities(value).tolist() == [-3.5]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_are_a_failure(backbone: Backbone, bad: float) -> None:
    with pytest.raises(InferenceFailed, match="acme/x@1"):
        probabilities(answer(backbone, [0.0, bad]))


def test_scores_are_sorted_from_the_highest() -> None:
    assert ranked_scores("abc", np.array([1.0, 3.0, 2.0]), 2) == [
        {"label": "b", "score": 3.0},
        {"label": "c", "score": 2.0},
    ]
