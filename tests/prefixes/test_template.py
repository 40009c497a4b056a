"""Templates with choices: rendered once for each of them, and strict about what a list is."""

import pytest
from pydantic import ValidationError

from prefixes import InputTemplate
from prefixes.errors import InputRejected
from prefixes.template import MAX_CHOICES

TEMPLATE = InputTemplate(text="{premise} so", text_pair="{choice}")


def test_a_template_with_a_choice_is_filled_once_for_each() -> None:
    assert TEMPLATE.fields == ("premise", "choices")

    rendered = TEMPLATE.render({"premise": "It rained", "choices": ["it is wet", "it is dry"]})

    assert rendered == [("It rained so", "it is wet"), ("It rained so", "it is dry")]


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        pytest.param(
            "it is wet", "'choices' must be a list of 2 to 100 texts; found: a text", id="text"
        ),
        pytest.param(["one"], "found: 1 choices", id="one"),
        pytest.param(["x"] * (MAX_CHOICES + 1), "found: 101 choices", id="many"),
        pytest.param(["a", " "], r"'choices\[1\]' is empty", id="empty"),
    ],
)
def test_choices_that_are_none_are_refused(choices: str | list[str], message: str) -> None:
    with pytest.raises(InputRejected, match=message):
        TEMPLATE.render({"premise": "It rained", "choices": choices})


def test_a_list_where_text_belongs_is_refused() -> None:
    with pytest.raises(InputRejected, match="'premise' is a list: expected text"):
        TEMPLATE.render({"premise": ["It", "rained"], "choices": ["a", "b"]})


def test_bare_texts_cannot_fill_a_template_with_choices() -> None:
    with pytest.raises(InputRejected, match="takes the fields: premise, choices"):
        TEMPLATE.render(("It rained", "it is wet"))


def test_the_list_itself_is_no_placeholder() -> None:
    with pytest.raises(ValidationError, match=r"use \{choice\}"):
        InputTemplate(text="{choices}")


def test_of_a_field_no_more_is_filled_in_than_will_be_looked_at() -> None:
    fields = {"premise": "x" * 1000, "choices": ["y" * 1000, "z"]}

    rendered = TEMPLATE.render(fields, max_characters=3)

    assert rendered == [("xxx so", "yyy"), ("xxx so", "z")]
