"""Estimates of tokens, compared with the windows that the backbone really runs."""

import pytest

from prefixes import PrefixSpec
from prefixes.backbone import Backbone
from prefixes.backbone.windows import window_cuts
from prefixes.lengths import LengthOptions
from prefixes.occlusion import OcclusionOptions
from prefixes.spec import Decisions, LongTexts
from prefixes.template import TokenIds
from server.engine.estimates import expected_tokens
from tests.factories import make_spec

PLAIN = LengthOptions()


def ids(count: int) -> TokenIds:
    return TokenIds((7,) * count)


@pytest.fixture
def spec(backbone: Backbone) -> PrefixSpec:
    return make_spec(backbone.fingerprint, max_length=16)


def test_a_text_has_a_token_per_four_characters_up_to_what_is_read(spec: PrefixSpec) -> None:
    assert expected_tokens(spec, ("good film",), PLAIN, None) == 3
    assert expected_tokens(spec, {"text": "x" * 400}, PLAIN, None) == 16
    assert expected_tokens(spec, ids(9), PLAIN, None) == 9
    assert expected_tokens(spec, ids(90), PLAIN, None) == 16


@pytest.mark.parametrize("stride", [0, 3, 8, 12])
@pytest.mark.parametrize("merge", ["mean", "first"])
def test_tokens_in_two_windows_count_twice(spec: PrefixSpec, stride: int, merge: str) -> None:
    rule = LongTexts(stride=stride, max_windows=5, merge=merge)
    task = spec.model_copy(update={"decisions": Decisions(long_texts=rule)})
    for count in range(1, 120):
        cuts = window_cuts([0] * count, task.max_length, rule)
        estimate = expected_tokens(task, ids(count), PLAIN, None)
        assert estimate == sum(len(cut.tokens) for cut in cuts), count


def test_windows_of_the_request_replace_those_of_the_task(spec: PrefixSpec) -> None:
    task = spec.model_copy(update={"decisions": Decisions(long_texts=LongTexts(stride=0))})
    windows, truncated = LengthOptions(long_text="windows"), LengthOptions(long_text="truncate")
    assert expected_tokens(task, ids(40), PLAIN, None) == 40
    assert expected_tokens(task, ids(40), truncated, None) == 16
    assert expected_tokens(spec, ids(40), windows, None) > 40


def test_each_choice_is_a_text_with_the_other_fields(backbone: Backbone) -> None:
    spec = make_spec(backbone.fingerprint, task_type="multiple_choice")
    fields = {"premise": "x" * 40, "choices": ["y" * 8, "z" * 20]}
    assert expected_tokens(spec, fields, PLAIN, None) == 13 + 16


def test_a_context_is_read_in_windows(backbone: Backbone) -> None:
    spec = make_spec(backbone.fingerprint, task_type="question_answering")
    fields = {"question": "y" * 40, "context": "x" * 4000}
    assert expected_tokens(spec, fields, PLAIN, None) > 1010


def test_an_explanation_runs_the_input_once_more_for_each_part(
    spec: PrefixSpec, backbone: Backbone
) -> None:
    words = OcclusionOptions()
    assert expected_tokens(spec, ids(5), PLAIN, words) == 5 * 6
    assert expected_tokens(spec, ids(5), PLAIN, OcclusionOptions(max_parts=2)) == 5 * 3
    spans = OcclusionOptions(spans={None: [(0, 1), (1, 2)]})
    assert expected_tokens(spec, ids(5), PLAIN, spans) == 5 * 3
    other = make_spec(backbone.fingerprint, task_type="token_classification")
    assert expected_tokens(other, ids(5), PLAIN, words) == 5
