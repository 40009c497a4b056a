"""Checks of labels, templates and golden examples when a file is uploaded."""

import pytest

from prefixes import GoldenExample, InputTemplate, PrefixSpec
from prefixes.upload_checks import upload_defects, upload_warnings
from tests.prefixes.publishing import tiny_prefix


def spec(labels: tuple[str, ...] = ("bad", "good"), **changes: object) -> PrefixSpec:
    golden = (GoldenExample(fields={"text": "a"}, logits=(0.0,) * len(labels)),)
    found = tiny_prefix("any").spec
    values = {"labels": labels, "golden": golden, **changes}
    return PrefixSpec.model_validate({**found.model_dump(), **values})


def codes(of: PrefixSpec) -> list[str]:
    return [finding.code for finding in (*upload_defects(of), *upload_warnings(of))]


def test_ordinary_files_have_no_findings() -> None:
    assert codes(spec()) == []
    assert codes(spec(("O", "B-PER", "I-PER", "B-ORG", "0", "é", "日本", "Ελλάδα"))) == []


@pytest.mark.parametrize("label", [" ", "\t", "\u200b", "\u2060 ", "\x00"])
def test_a_blank_label_is_a_defect(label: str) -> None:
    (finding,) = upload_defects(spec(("bad", label)))
    assert (finding.code, finding.subject) == ("blank_label", "spec.labels[1]")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("é", "e\u0301"),  # composed and decomposed
        ("spam", "sp\u200bam"),  # with an invisible character
        ("fi", "\ufb01"),  # a ligature
        ("two words", "two  words"),
        ("1", "\uff11"),  # a wide digit
    ],
)
def test_labels_that_look_the_same_are_a_defect(one: str, other: str) -> None:
    (finding,) = upload_defects(spec(("x", one, other)))
    assert (finding.code, finding.subject) == ("same_looking_labels", "spec.labels[2]")
    assert ascii(other) in finding.found


@pytest.mark.parametrize(
    ("labels", "code"),
    [
        (("Spam", "spam"), "similar_labels"),
        (("not-spam", "not spam"), "similar_labels"),
        (("spam", "ham "), "padded_label"),
        (("spam", "sp\u0430m"), "mixed_scripts"),  # with a Cyrillic letter
        (("LABEL_0", "LABEL_1"), "placeholder_labels"),
    ],
)
def test_labels_that_are_probably_a_mistake_are_warnings(
    labels: tuple[str, ...], code: str
) -> None:
    assert upload_defects(spec(labels)) == ()
    assert [finding.code for finding in upload_warnings(spec(labels))] == [code]


def test_labels_of_signs_alone_are_not_similar() -> None:
    assert codes(spec(("+", "-", "?"))) == []


@pytest.mark.parametrize(
    ("template", "code"),
    [
        (InputTemplate(text="{text} and {text}"), "repeated_field"),
        (InputTemplate(text="{text}", text_pair="again {text}"), "unused_pair"),
    ],
)
def test_a_template_that_says_nothing_new_is_a_warning(template: InputTemplate, code: str) -> None:
    assert codes(spec(input=template.model_dump())) == [code]


def test_a_file_without_golden_examples_is_a_warning() -> None:
    assert codes(spec(golden=())) == ["no_golden_examples"]


def test_findings_of_a_kind_are_bounded() -> None:
    labels = tuple(f"{'LABEL' if number % 2 else 'label'} x{number // 2}" for number in range(2000))
    found = codes(spec(labels))
    assert found == ["similar_labels"] * 20
