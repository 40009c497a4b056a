import numpy as np
import pytest

from prefixes import PrefixRef
from prefixes.backbone import Backbone
from prefixes.encoded import EncodedText
from server.api.results import OutputOptions, results_of
from server.api.scores import MAX_SCORES
from server.batching.timings import Timings
from server.engine.values import InferenceResult
from server.errors import TooManyScores
from tests.factories import make_spec


def tagged(backbone: Backbone, num_tokens: int) -> InferenceResult:
    """A text of which every letter is a thing of its own."""
    logits = np.tile(np.array([0, 9, 0], dtype=np.float32), (num_tokens, 1))
    spans = [(place, place + 1) for place in range(num_tokens)]
    ids = [7] * num_tokens
    return InferenceResult(
        PrefixRef("acme", "x", version=1),
        "0" * 64,
        make_spec(backbone.fingerprint, task_type="token_classification"),
        ("x" * num_tokens,),
        texts=(EncodedText(ids, ids, spans=spans, words=range(num_tokens)),),
        outputs=(logits,),
        timings=Timings(0.0, 0.0),
    )


def test_too_many_entities_for_one_response(backbone: Backbone) -> None:
    answers = [tagged(backbone, MAX_SCORES // 4)] * 4
    results = results_of(answers, OutputOptions(strategy="none"))
    assert [result.index for result in results] == [0, 1, 2, 3]
    with pytest.raises(TooManyScores, match="aggregation_strategy"):
        results_of([*answers, tagged(backbone, 1)], OutputOptions(strategy="none"))
