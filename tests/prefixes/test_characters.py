"""Characters as readers see them: spans of whole characters, and blank texts."""

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from prefixes.characters import first_surrogate, is_blank, replace_surrogates, whole_characters

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
        pytest.param("Ada\u200dRome", (0, 3), "Ada\u200d", id="joiner-between-latin-letters"),
        pytest.param("Ada\u200dRome", (4, 8), "Rome", id="letters-behind-a-joiner"),
        pytest.param(
            "a \u1112\u1161\u11ab b", (2, 3), "\u1112\u1161\u11ab", id="hangul-of-letters"
        ),
        pytest.param(
            "a \u0915\u094d\u0937\u093f b", (2, 4), "\u0915\u094d\u0937\u093f", id="conjunct"
        ),
        pytest.param("a 1\ufe0f\u20e3 b", (2, 3), "1\ufe0f\u20e3", id="keycap"),
        pytest.param("a \u0301b", (2, 3), "\u0301", id="mark-on-white-space"),
        pytest.param("漢字", (0, 1), "漢", id="ideograph"),
        pytest.param("a   b", (1, 4), "", id="nothing-but-white-space"),
    ],
)
def test_a_span_holds_whole_characters(text: str, span: tuple[int, int], expected: str) -> None:
    start, end = whole_characters(text, span)

    assert text[start:end] == expected


@given(st.data())
def test_every_span_grows_to_the_clusters_of_unicode(data: st.DataObject) -> None:
    alphabet = (
        "ab e\u0301\u200d👩🔬🏽漢\u0915\u094d\u093f\u1112\u1161\u11ab한🇩\u0600\u0e33\r\n\u200b"
    )
    text = data.draw(st.text(st.sampled_from(alphabet), min_size=1, max_size=32))
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))

    begin, stop = whole_characters(text, (start, end))

    whole = [one.span() for one in regex.finditer(r"\X", text)]
    trimmed = text[start:end].strip()
    if trimmed:
        first = start + text[start:end].index(trimmed)
        last = first + len(trimmed)
        begins, ends = (
            min((a for a, b in whole if a <= first < b), default=first),
            max((b for a, b in whole if a < last <= b), default=last),
        )
        assert text[begin:stop] == text[begins:ends].strip()
    else:
        assert begin == stop


def test_a_text_that_is_all_one_character_does_not_make_every_span_as_long_as_itself() -> None:
    text = "e" + "\u0301" * 20_000

    start, end = whole_characters(text, (10_000, 10_001))

    assert end - start < 100


@pytest.mark.parametrize(
    "text",
    [
        "", " \t\n\u3000", "\0", "\u200b", "\ufeff", "\u200d\u200c", "\u00ad", "\u2060", "\u202e",
        "\u3164", "\ufe0f", "\ufff9", "\U000e0041", " \u200b\x7f\u2028",
    ],
)  # fmt: skip
def test_a_text_that_nobody_can_see_is_blank(text: str) -> None:
    assert is_blank(text)


@pytest.mark.parametrize("text", [".", "\u200bx", "\u0301", "\u0600", "\ue000", "🙂", "\u2800"])
def test_a_text_with_anything_to_see_is_not_blank(text: str) -> None:
    assert not is_blank(text)


@pytest.mark.parametrize(
    ("text", "place"), [("", None), ("a🙂", None), ("ab\ud800", 2), ("\udfff\ud800", 0)]
)
def test_the_first_unpaired_surrogate_is_found(text: str, place: int | None) -> None:
    assert first_surrogate(text) == place


def test_each_unpaired_surrogate_is_replaced() -> None:
    assert replace_surrogates("a\ud83d\ude00🙂") == "a\ufffd\ufffd🙂"
