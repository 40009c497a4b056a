"""Spans: trimmed to what a reader sees, never ending inside a character that one sees as one."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefixes.encoded import whole_characters

WALES = "🏴" + "".join(chr(0xE0000 + ord(letter)) for letter in "gbwls") + "\U000e007f"


@pytest.mark.parametrize(
    ("text", "span", "expected"),
    [
        pytest.param("in Paris now", (2, 8), "Paris", id="white-space"),
        pytest.param("cafe\u0301 bar", (0, 4), "cafe\u0301", id="combining-mark"),
        pytest.param("cafe\u0301 bar", (4, 5), "e\u0301", id="mark-alone"),
        pytest.param("a 👩\u200d🔬 b", (2, 3), "👩\u200d🔬", id="joined-emoji"),
        pytest.param("a 👍🏽 b", (2, 3), "👍🏽", id="skin-tone"),
        pytest.param("a\u200d b", (0, 2), "a\u200d", id="joiner-before-white-space"),
        pytest.param("a 🇩🇪🇫🇷 b", (2, 3), "🇩🇪", id="first-half-of-a-flag"),
        pytest.param("a 🇩🇪🇫🇷 b", (5, 6), "🇫🇷", id="second-half-of-a-flag"),
        pytest.param("a 🇩🇪🇫🇷 b", (2, 4), "🇩🇪", id="flag-beside-another"),
        pytest.param(f"a {WALES} b", (2, 3), WALES, id="flag-of-tags"),
        pytest.param("漢字", (0, 1), "漢", id="ideograph"),
        pytest.param("a   b", (1, 4), "", id="nothing-but-white-space"),
    ],
)
def test_a_span_holds_whole_characters(text: str, span: tuple[int, int], expected: str) -> None:
    start, end = whole_characters(text, span)

    assert text[start:end] == expected


@given(st.data())
def test_every_span_stays_within_its_text_and_cuts_no_mark_off(data: st.DataObject) -> None:
    text = data.draw(
        st.text(st.sampled_from("ab e\u0301\u200d👩🔬🏽漢\u0938\u094d"), min_size=1, max_size=32)
    )
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))

    begin, stop = whole_characters(text, (start, end))

    assert 0 <= begin <= stop <= len(text)
    assert text[begin:stop] == text[begin:stop].strip()
    if begin < stop < len(text):
        assert not unicodedata.category(text[stop]).startswith("M")


def test_a_text_that_is_all_one_character_does_not_make_every_span_as_long_as_itself() -> None:
    text = "漢\u200d" * 10_000

    start, end = whole_characters(text, (10_000, 10_001))

    assert end - start < 100
