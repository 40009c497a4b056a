"""Descriptions of settings keep to the style page."""

import pytest

from server.settings import Settings
from tests.prose import Passage, findings_in, long_sentences_in

MAX_WORDS = 25


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_the_description_of_a_setting_is_plain_english(name: str) -> None:
    description = Settings.model_fields[name].description
    assert description is not None
    assert description.endswith(".")
    assert list(findings_in(Passage(description, 1))) == []
    assert long_sentences_in(description, MAX_WORDS) == []
