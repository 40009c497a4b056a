"""Windows: every token of a context is seen, whole questions first, and none beyond the length."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefixes.backbone.windows import MAX_WINDOWS, first_cut, window_cuts
from prefixes.errors import TextTooLong


def pair(question: int, context: int) -> list[int | None]:
    """Lay out [CLS] question [SEP] context [SEP]."""
    return [None, *[0] * question, None, *[1] * context, None]


@given(
    question=st.integers(1, 30),
    context=st.integers(1, 300),
    max_length=st.integers(8, 64),
    stride=st.integers(0, 200),
)
def test_windows_hold_the_question_and_together_all_of_the_context(
    question: int, context: int, max_length: int, stride: int
) -> None:
    owners = pair(question, context)

    cuts = window_cuts(owners, max_length, stride=stride)

    seen = {token for cut in cuts for token in cut.tokens}
    its_context = {i for i, owner in enumerate(owners) if owner == 1}
    asked = min(question, max(1, (max_length - 3) // 2))
    for cut in cuts:
        assert len(cut.tokens) <= max_length
        assert list(cut.tokens) == sorted(cut.tokens)
        assert [owners[i] for i in cut.tokens].count(0) == asked
    lost = its_context - seen
    assert cuts[0].is_truncated == (asked < question or bool(lost))
    assert not lost or len(cuts) == MAX_WINDOWS


def test_neighboring_windows_share_the_stride() -> None:
    cuts = window_cuts(pair(2, 20), 15, stride=4)  # room for 10 tokens of context

    pieces = [[i - 4 for i in cut.tokens if 4 <= i < 24] for cut in cuts]

    assert pieces == [list(range(10)), list(range(6, 16)), list(range(12, 20))]


def test_a_context_without_end_is_seen_up_to_the_last_window_and_said_to_be_cut() -> None:
    cuts = window_cuts(pair(1, 10_000), 12, stride=0)

    assert len(cuts) == MAX_WINDOWS
    assert all(cut.is_truncated for cut in cuts)


def test_a_length_without_room_is_refused() -> None:
    with pytest.raises(TextTooLong, match="too few for a pair"):
        window_cuts(pair(3, 3), 3, stride=0)
    with pytest.raises(TextTooLong, match="3 special tokens"):
        first_cut(pair(3, 3), 2)
