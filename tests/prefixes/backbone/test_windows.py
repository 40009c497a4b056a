"""Windows: all tokens are seen, no window exceeds the length, and what is lost is reported."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefixes.backbone.windows import Cut, context_cuts, first_cut, window_cuts
from prefixes.encoded import Window
from prefixes.errors import TextTooLong
from prefixes.spec import MAX_WINDOWS, LongTexts


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

    cuts = context_cuts(owners, max_length, stride=stride)

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
    cuts = context_cuts(pair(2, 20), 15, stride=4)  # room for 10 tokens of context

    pieces = [[i - 4 for i in cut.tokens if 4 <= i < 24] for cut in cuts]

    assert pieces == [list(range(10)), list(range(6, 16)), list(range(12, 20))]


def test_a_context_without_end_is_seen_up_to_the_last_window_and_said_to_be_cut() -> None:
    cuts = context_cuts(pair(1, 10_000), 12, stride=0)

    assert len(cuts) == MAX_WINDOWS
    assert all(cut.is_truncated for cut in cuts)


def test_a_length_without_room_is_refused() -> None:
    with pytest.raises(TextTooLong, match="too few for a pair"):
        context_cuts(pair(3, 3), 3, stride=0)
    with pytest.raises(TextTooLong, match="3 special tokens"):
        first_cut(pair(3, 3), 2)


def single(length: int) -> list[int | None]:
    """Lay out [CLS] text [SEP]."""
    return [None, *[0] * length, None]


def own_tokens(cuts: list[Cut]) -> list[int]:
    """The tokens that count for each window, end to end."""
    pairs = [(cut, cut.window) for cut in cuts if cut.window is not None]
    return [token for cut, own in pairs for token in cut.tokens[own.start : own.end]]


layouts = st.one_of(
    st.integers(0, 200).map(single),
    st.builds(pair, st.integers(0, 120), st.integers(0, 120)),
)


@given(
    owners=layouts,
    max_length=st.integers(4, 64),
    stride=st.integers(0, 200),
    max_windows=st.integers(1, 60),
    part=st.sampled_from([None, 0]),
)
def test_every_token_that_is_read_counts_for_exactly_one_window(
    owners: list[int | None], max_length: int, stride: int, max_windows: int, part: int | None
) -> None:
    rule = LongTexts(stride=stride, max_windows=max_windows)

    cuts = window_cuts(owners, max_length, rule, part=part)

    seen = sorted({token for cut in cuts for token in cut.tokens})
    assert own_tokens(cuts) == seen
    assert len(cuts) <= max_windows
    assert [cut.window and cut.window.number for cut in cuts] == list(range(len(cuts)))
    assert {cut.is_truncated for cut in cuts} == {len(seen) < len(owners)}
    specials = [token for token, owner in enumerate(owners) if owner is None]
    for cut in cuts:
        assert len(cut.tokens) <= max_length
        assert list(cut.tokens) == sorted(cut.tokens)
        assert set(specials) <= set(cut.tokens)


@given(length=st.integers(0, 40), max_length=st.integers(3, 40))
def test_a_text_that_fits_has_one_window_with_all_its_tokens(length: int, max_length: int) -> None:
    owners = single(length)

    cuts = window_cuts(owners, max_length, LongTexts())

    if len(owners) <= max_length:
        assert cuts == [Cut(range(len(owners)), False, Window(0, 0, len(owners), "mean"))]
    else:
        assert len(cuts) > 1


def test_an_overlap_is_divided_in_its_middle() -> None:
    cuts = window_cuts(single(20), 12, LongTexts(stride=4))

    assert [list(cut.tokens) for cut in cuts] == [
        [0, *range(1, 11), 21],
        [0, *range(7, 17), 21],
        [0, *range(13, 21), 21],
    ]
    assert [(cut.window.start, cut.window.end) for cut in cuts if cut.window is not None] == [
        (0, 9),  # to token 8
        (3, 9),  # tokens 9 to 14
        (3, 10),  # from token 15
    ]


@pytest.mark.parametrize("stride", [5, 10, 100_000])
def test_windows_overlap_by_at_most_half_of_their_length(stride: int) -> None:
    cuts = window_cuts(single(30), 12, LongTexts(stride=stride))

    assert [cut.tokens[1] for cut in cuts] == [1, 6, 11, 16, 21]


def test_of_a_pair_the_longer_part_is_cut_and_every_window_has_the_other() -> None:
    owners = pair(3, 12)
    for layout in (owners, [None, *[0] * 12, None, *[1] * 3, None]):
        cuts = window_cuts(layout, 12, LongTexts(stride=0))

        short = 0 if layout is owners else 1
        assert [[layout[i] for i in cut.tokens].count(short) for cut in cuts] == [3, 3]
        assert not cuts[0].is_truncated


def test_the_other_part_of_a_pair_is_truncated_to_half_of_the_length() -> None:
    cuts = window_cuts(pair(50, 60), 13, LongTexts(stride=0))

    assert [[pair(50, 60)[i] for i in cut.tokens].count(0) for cut in cuts] == [5] * 12
    assert all(cut.is_truncated for cut in cuts)


def test_a_text_is_whole_next_to_a_longer_second_one_that_is_only_its_context() -> None:
    (cut,) = window_cuts(pair(4, 50), 13, LongTexts(), part=0)

    assert list(cut.tokens) == [0, 1, 2, 3, 4, 5, *range(6, 12), 56]
    assert cut.is_truncated


def test_the_first_window_alone_is_that_of_truncation() -> None:
    for layout in (single(30), pair(10, 30)):
        (cut,) = window_cuts(layout, 12, LongTexts(merge="first"))

        assert (cut.tokens, cut.is_truncated) == (first_cut(layout, 12).tokens, True)
        assert cut.window == Window(0, 0, 12, "first")


def test_windows_without_room_for_a_text_are_refused() -> None:
    with pytest.raises(TextTooLong, match="at most 3 tokens, too few for a window"):
        window_cuts(pair(3, 3), 3, LongTexts())
    with pytest.raises(TextTooLong, match="3 special tokens"):
        window_cuts(pair(3, 3), 2, LongTexts())
