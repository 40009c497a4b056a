"""Phrases for labels."""

import pytest

from training.few_shot.phrases import phrases_of


@pytest.mark.parametrize(
    ("label", "phrase"),
    [
        pytest.param("billing", "This text is about billing.", id="word"),
        pytest.param("card_not_working", "This text is about card not working.", id="underscores"),
        pytest.param("Sci/Tech", "This text is about Sci Tech.", id="slash"),
        pytest.param("top-up  failed", "This text is about top up failed.", id="hyphen"),
        pytest.param("Rückgabe, Umtausch", "This text is about Rückgabe, Umtausch.", id="unicode"),
        pytest.param("退款", "This text is about 退款.", id="chinese"),
        pytest.param("/", "This text is about /.", id="joints-alone"),
    ],
)
def test_a_name_is_written_as_words(label: str, phrase: str) -> None:
    assert phrases_of([label], None) == [phrase]


def test_a_description_replaces_the_sentence() -> None:
    found = phrases_of(["NUM", "LOC"], {"NUM": "how many, how far, or when"})
    assert found == ["how many, how far, or when", "This text is about LOC."]
