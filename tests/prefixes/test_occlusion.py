"""The parts that an explanation leaves out: words of any script, groups of words, and spans."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefixes import InputTemplate, PrefixSpec
from prefixes.backbone import Backbone
from prefixes.characters import is_blank
from prefixes.encoded import OccludedPart
from prefixes.errors import InputRejected
from prefixes.occlusion import OcclusionOptions, parts_of, without, words_of
from tests.factories import make_spec


@pytest.fixture(scope="session")
def spec(backbone: Backbone) -> PrefixSpec:
    return make_spec(backbone.fingerprint)


def words(text: str) -> list[str]:
    return [text[start:end] for start, end in words_of(text)]


def parts(
    spec: PrefixSpec, texts: dict[str, str], options: OcclusionOptions | None = None
) -> list[OccludedPart]:
    num_read = {name: len(text) for name, text in texts.items()}
    return parts_of(spec, texts, num_read, options or OcclusionOptions())


def slices(found: list[OccludedPart], texts: dict[str, str]) -> list[tuple[str, str]]:
    return [(part.field, texts[part.field][part.start : part.end]) for part in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't stop, now!", ["Don't", "stop", ",", "now", "!"]),
        ("it costs 3.5 or 1,000", ["it", "costs", "3.5", "or", "1,000"]),
        ("  two\n\nlines\t", ["two", "lines"]),
        ("cafe\u0301 na\u00efve", ["cafe\u0301", "na\u00efve"]),
        ("👩\u200d🔬🇩🇪🇫🇷👍🏽 ok", ["👩\u200d🔬", "🇩🇪", "🇫🇷", "👍🏽", "ok"]),
        ("🇩 🇪🇩🇪", ["🇩", "🇪🇩", "🇪"]),
        ("日本語のテキスト", ["日", "本", "語", "の", "テキスト"]),
        ("שלום עולם", ["שלום", "עולם"]),
        ("مرحبا بالعالم", ["مرحبا", "بالعالم"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("\U0001d49c\U0001d4eb \U0001d7d9", ["\U0001d49c\U0001d4eb", "\U0001d7d9"]),
        ("a\u200bb \u200d", ["a", "b"]),
    ],
)
def test_words_are_unicode_words_with_something_visible(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@given(st.text(st.sampled_from("a é\u0301日ア🇩👍🏽\u200d ,'1\n\u05d0"), max_size=30))
def test_words_cover_all_visible_characters_and_do_not_overlap(text: str) -> None:
    last = 0
    for start, end in words_of(text):
        assert is_blank(text[last:start])
        assert not is_blank(text[start:end])
        last = end
    assert is_blank(text[last:])


def test_words_that_begin_in_what_was_read_are_found_whole() -> None:
    text = "one twentyone three"
    assert words_of(text, 6) == [(0, 3), (4, 13)]
    assert words_of(text, 4) == [(0, 3)]
    assert words_of(text, 0) == []


def test_each_word_is_a_part(spec: PrefixSpec) -> None:
    texts = {"text": "a good film"}
    found = parts(spec, texts)
    assert slices(found, texts) == [("text", "a"), ("text", "good"), ("text", "film")]
    assert {(part.num_words, part.is_all) for part in found} == {(1, False)}


def test_more_words_than_parts_are_grouped_evenly(spec: PrefixSpec) -> None:
    texts = {"text": "a b c d e f g"}
    found = parts(spec, texts, OcclusionOptions(max_parts=3))
    assert slices(found, texts) == [("text", "a b"), ("text", "c d"), ("text", "e f g")]
    assert [part.num_words for part in found] == [2, 2, 3]


@given(st.dictionaries(st.sampled_from("abc"), st.integers(0, 40), min_size=1), st.integers(3, 60))
def test_fields_share_the_parts_and_no_part_crosses_them(
    spec: PrefixSpec, sizes: dict[str, int], most: int
) -> None:
    texts = {name: "x " * size for name, size in sizes.items()}
    found = parts(spec, texts, OcclusionOptions(max_parts=most))
    total = sum(sizes.values())
    assert len(found) == min(total, most)
    assert sum(part.num_words for part in found) == total
    for name, size in sizes.items():
        counts = [part.num_words for part in found if part.field == name]
        assert sum(counts) == size
        assert not counts or max(counts) - min(counts) <= 1


def test_fewer_parts_than_fields_are_rejected(spec: PrefixSpec) -> None:
    with pytest.raises(InputRejected, match=r"`explain_max_parts` is 1, but .* 2 fields"):
        parts(spec, {"a": "x", "b": "y"}, OcclusionOptions(max_parts=1))


def test_a_part_that_is_all_visible_text_is_marked(spec: PrefixSpec) -> None:
    assert [part.is_all for part in parts(spec, {"text": " word\u200b\n"})] == [True]
    options = OcclusionOptions(spans={None: [(0, 3), (1, 2), (0, 1)]})
    assert [part.is_all for part in parts(spec, {"text": " a "}, options)] == [True, True, False]


def test_spans_are_parts_as_given_even_if_they_overlap(spec: PrefixSpec) -> None:
    texts = {"text": "e\u0301a🇩🇪"}
    spans = [(2, 5), (0, 1), (0, 3), (0, 1)]
    found = parts(spec, texts, OcclusionOptions(spans={None: spans}))
    assert [(part.start, part.end, part.num_words) for part in found] == [(*s, 0) for s in spans]


@pytest.mark.parametrize("span", [(2, 2), (3, 1), (0, 6), (5, 6)])
def test_spans_outside_the_text_are_rejected(spec: PrefixSpec, span: tuple[int, int]) -> None:
    start, end = span
    with pytest.raises(InputRejected, match=rf"\[{start}, {end}\] .* 0 <= start < end <= 5"):
        parts(spec, {"text": "words"}, OcclusionOptions(spans={None: [span]}))


@pytest.mark.parametrize(("name", "found"), [(None, "a list"), ("c", "the field 'c'")])
def test_spans_of_several_fields_name_their_field(
    spec: PrefixSpec, name: str | None, found: str
) -> None:
    with pytest.raises(InputRejected, match=f"expected {{.*a.*b.*}}; found {found}"):
        parts(spec, {"a": "x y", "b": "z"}, OcclusionOptions(spans={name: [(0, 1)]}))
    (part,) = parts(spec, {"a": "x y", "b": "z"}, OcclusionOptions(spans={"a": [(0, 1)]}))
    assert (part.field, part.start, part.end) == ("a", 0, 1)


def test_a_label_that_the_task_does_not_have_is_rejected(spec: PrefixSpec) -> None:
    assert parts(spec, {"text": "x"}, OcclusionOptions(label=spec.labels[1]))
    with pytest.raises(InputRejected, match="`explain_label`: the task has no label 'ugly'"):
        parts(spec, {"text": "x"}, OcclusionOptions(label="ugly"))


@given(st.text(max_size=12), st.integers(0, 12), st.integers(0, 12), st.integers(0, 9))
def test_a_text_without_a_span_is_cut_as_if_it_had_been_whole(
    text: str, one: int, other: int, most: int
) -> None:
    start, end = sorted((min(one, len(text)), min(other, len(text))))
    assert without(text, (start, end), most) == (text[:start] + text[end:])[:most]


@pytest.mark.parametrize(
    ("template", "ends", "expected"),
    [
        (InputTemplate(text="{a}"), (3, 0), {"a": 3}),
        (InputTemplate(text="{a}"), (9, 0), {"a": 4}),
        (InputTemplate(text="About {a}: {b}"), (8, 0), {"a": 2, "b": 0}),
        (InputTemplate(text="About {a}: {b}"), (13, 0), {"a": 4, "b": 1}),
        (InputTemplate(text="{a}", text_pair="{b}"), (1, 2), {"a": 1, "b": 2}),
        (InputTemplate(text="{a} {b} {a}"), (9, 0), {"a": 4, "b": 4}),
        (InputTemplate(text="{b}", text_pair="{a} {b}"), (2, 9), {"a": 4, "b": 4}),
    ],
)
def test_what_was_read_of_each_field(
    template: InputTemplate, ends: tuple[int, int], expected: dict[str, int]
) -> None:
    texts = {name: {"a": "aaaa", "b": "bbbb"}[name] for name in template.fields}
    assert template.num_read(texts, ends) == expected
