"""Made-up inputs: they fit every template, differ from each other, and are always the same."""

import pytest

from prefixes import InputTemplate
from prefixes.made_up import made_up_inputs
from prefixes.spec import MAX_GOLDEN


@pytest.mark.parametrize(
    "template",
    [
        InputTemplate(),
        InputTemplate(text="{question}", text_pair="{context}"),
        InputTemplate(text="{premise}", text_pair="{choice}"),
        InputTemplate(text=" ".join(f"{{field{n}}}" for n in range(20))),
    ],
    ids=["text", "pair", "choices", "many-fields"],
)
def test_made_up_inputs_fit_any_template(template: InputTemplate) -> None:
    inputs = made_up_inputs(template, MAX_GOLDEN)

    rendered = [tuple(template.render(fields)) for fields in inputs]
    assert len(set(rendered)) == MAX_GOLDEN
    assert inputs == made_up_inputs(template, MAX_GOLDEN)
