"""The options for long texts: those of a request before those of the task."""

import pytest

from prefixes import PrefixSpec
from prefixes.lengths import BEGINNING, LengthOptions
from prefixes.spec import AliasRuleSet, Decisions, LongTexts
from tests.factories import TASKS, make_spec
from tests.prefixes.facts import BACKBONE

OWN = LongTexts(stride=8, merge="max", max_windows=5)
PLAIN = make_spec(BACKBONE)
WINDOWED = make_spec(BACKBONE, decisions=Decisions(long_texts=OWN))
WITHOUT = ("question_answering", "multiple_choice")


@pytest.mark.parametrize(
    ("options", "plain", "windowed"),
    [
        pytest.param(LengthOptions(), None, OWN, id="the task decides"),
        pytest.param(BEGINNING, None, None, id="beginning"),
        pytest.param(LengthOptions(long_text="windows"), LongTexts(), OWN, id="windows"),
        pytest.param(
            LengthOptions(long_text="windows", stride=0, merge="first"),
            LongTexts(stride=0, merge="first"),
            LongTexts(stride=0, merge="first", max_windows=5),
            id="its own windows",
        ),
    ],
)
def test_a_request_overrides_the_task(
    options: LengthOptions, plain: LongTexts | None, windowed: LongTexts | None
) -> None:
    assert options.windows_of(PLAIN) == plain
    assert options.windows_of(WINDOWED) == windowed


@pytest.mark.parametrize(
    ("request_options", "expected"),
    [
        (LengthOptions(), LongTexts(stride=2, merge="first")),
        (LengthOptions(long_text="truncate"), None),
        (LengthOptions(long_text="windows"), LongTexts(stride=2, merge="first")),
        (LengthOptions(long_text="windows", stride=0), LongTexts(stride=0, merge="first")),
        (LengthOptions(long_text="windows", merge="max"), LongTexts(stride=2, merge="max")),
    ],
)
def test_a_request_overrides_the_alias_and_the_alias_the_task(
    request_options: LengthOptions, expected: LongTexts | None
) -> None:
    windows = AliasRuleSet(long_text="windows", stride=2, merge="first")
    assert request_options.over(windows).windows_of(PLAIN) == expected
    assert request_options.over(None) == request_options.over(AliasRuleSet(min_score=0.5))
    truncated = AliasRuleSet(long_text="truncate")
    assert LengthOptions().over(truncated).windows_of(WINDOWED) is None
    assert LengthOptions(long_text="windows").over(truncated).windows_of(WINDOWED) == OWN


@pytest.mark.parametrize("task_type", TASKS)
def test_only_classifications_are_merged_otherwise_and_some_tasks_have_no_windows(
    task_type: str,
) -> None:
    spec = make_spec(BACKBONE, task_type=task_type)

    found = LengthOptions(long_text="windows", merge="max").windows_of(spec)

    if task_type in WITHOUT:
        assert found is None
    else:
        assert found == LongTexts(merge="max" if task_type == "sequence_classification" else "mean")


@pytest.mark.parametrize("task_type", TASKS)
def test_a_file_has_windows_only_where_they_apply(task_type: str) -> None:
    def described(rule: LongTexts) -> PrefixSpec:
        return make_spec(BACKBONE, task_type=task_type, decisions=Decisions(long_texts=rule))

    if task_type in WITHOUT:
        with pytest.raises(ValueError, match="does not allow decisions"):
            described(LongTexts())
        return
    assert described(LongTexts()).decisions == Decisions(long_texts=LongTexts())
    if task_type != "sequence_classification":
        with pytest.raises(ValueError, match="does not allow the merge max"):
            described(OWN)
