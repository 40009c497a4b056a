"""Names and references: one grammar, and nothing else gets through."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefixes.errors import InvalidName
from prefixes.names import PrefixRef, check_alias, check_name, nearest

ENDS = string.ascii_lowercase + string.digits
names = st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?", fullmatch=True).filter(
    lambda text: ".." not in text
)
aliases = names.filter(lambda text: not text.isdigit())
refs = st.one_of(
    st.builds(PrefixRef, names, names, version=st.integers(1, 999_999_999)),
    st.builds(PrefixRef, names, names, alias=aliases),
)

HOSTILE = [
    pytest.param("", id="empty"),
    pytest.param("A", id="upper-case"),
    pytest.param("-a", id="leading-dash"),
    pytest.param("a-", id="trailing-dash"),
    pytest.param(".", id="dot"),
    pytest.param("..", id="dots"),
    pytest.param("a..b", id="dots-inside"),
    pytest.param("a/b", id="slash"),
    pytest.param("a\\b", id="backslash"),
    pytest.param("a b", id="space"),
    pytest.param("a\n", id="trailing-newline"),
    pytest.param("a\0b", id="nul"),
    pytest.param("a%2f", id="percent"),
    pytest.param("é", id="accent"),
    pytest.param("\u0430", id="cyrillic-a"),
    pytest.param("\u0661", id="arabic-digit"),
    pytest.param("\ud800", id="half-surrogate"),
    pytest.param("a" * 65, id="too-long"),
    pytest.param("'; drop table prefixes; --", id="sql"),
]


@given(refs)
def test_a_written_reference_reads_back_as_itself(ref: PrefixRef) -> None:
    assert PrefixRef.parse(str(ref)) == ref


@given(refs, names)
def test_a_written_tenant_wins_over_the_callers_own(ref: PrefixRef, tenant: str) -> None:
    assert PrefixRef.parse(str(ref), default_tenant=tenant) == ref


@given(st.text())
def test_any_text_is_a_reference_or_an_invalid_name(text: str) -> None:
    try:
        ref = PrefixRef.parse(text, default_tenant="acme")
    except InvalidName:
        return
    assert PrefixRef.parse(str(ref)) == ref


@given(st.text(alphabet=ENDS + "._-", max_size=70))
def test_a_name_is_short_and_begins_and_ends_with_a_letter_or_digit(text: str) -> None:
    is_name = 1 <= len(text) <= 64 and text[0] in ENDS and text[-1] in ENDS and ".." not in text

    try:
        check_name("task", text)
    except InvalidName:
        assert not is_name
    else:
        assert is_name


@pytest.mark.parametrize("text", HOSTILE)
def test_a_name_that_breaks_the_grammar_is_refused(text: str) -> None:
    with pytest.raises(InvalidName, match=r"Invalid task name .*: use 1 to 64 of"):
        check_name("task", text)


@pytest.mark.parametrize("text", HOSTILE)
def test_no_part_of_a_reference_may_break_the_grammar(text: str) -> None:
    for whole in (f"{text}/task", f"tenant/{text}", f"tenant/task:{text}", f"tenant/task@{text}"):
        with pytest.raises(InvalidName):
            PrefixRef.parse(whole)


def test_a_reference_without_version_or_alias_means_the_live_one() -> None:
    assert PrefixRef.parse("acme/mood") == PrefixRef("acme", "mood", alias="live")


def test_the_tenant_may_be_left_out_where_the_callers_own_is_known() -> None:
    assert PrefixRef.parse("mood@3", default_tenant="acme") == PrefixRef("acme", "mood", version=3)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("mood", id="no-tenant"),
        pytest.param("/mood", id="empty-tenant"),
        pytest.param("acme/mood@", id="no-version"),
        pytest.param("acme/mood@0", id="version-zero"),
        pytest.param("acme/mood@-1", id="negative-version"),
        pytest.param("acme/mood@01", id="leading-zero"),
        pytest.param("acme/mood@1\n", id="trailing-newline"),
        pytest.param("acme/mood@1.0", id="fraction"),
        pytest.param("acme/mood@\u0663", id="arabic-digit"),
        pytest.param("acme/mood@9999999999", id="version-too-large"),
        pytest.param("acme/mood@1@2", id="two-versions"),
        pytest.param("acme/mood:live@1", id="alias-and-version"),
        pytest.param("acme/mood@1:live", id="version-and-alias"),
    ],
)
def test_text_that_names_no_prefix_is_refused_with_the_right_form(text: str) -> None:
    with pytest.raises(InvalidName, match=r"(use TENANT/TASK, |expected 1 to 9)"):
        PrefixRef.parse(text)


@pytest.mark.parametrize("text", ["acme/../other", "acme/mood/extra", "acme/mood:", "acme/"])
def test_a_path_is_no_reference(text: str) -> None:
    with pytest.raises(InvalidName):
        PrefixRef.parse(text)


def test_an_alias_of_digits_alone_is_refused_because_it_reads_as_a_version() -> None:
    with pytest.raises(InvalidName, match="would look like a version"):
        check_alias("12")


def test_a_refused_name_is_quoted_in_printable_characters_and_cut_short() -> None:
    with pytest.raises(InvalidName) as caught:
        PrefixRef.parse("\ud800\x00" * 5000)

    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 3000


def test_a_name_with_a_slip_is_held_against_those_that_there_are() -> None:
    assert nearest("learning_rat", ["epochs", "learning_rate"]) == "; did you mean 'learning_rate'?"
    assert nearest("xyz", ["epochs", "learning_rate"]) == ""
