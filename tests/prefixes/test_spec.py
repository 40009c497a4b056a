"""The description of a prefix: what it may say, and how it makes texts of a request's fields."""

import tracemalloc
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from prefixes import GoldenExample, InputTemplate, PrefixSpec, Provenance
from prefixes.characters import is_blank
from prefixes.errors import InputRejected
from prefixes.spec import HeadSpec, TaskType, traits_of
from prefixes.template import template_fields
from tests.factories import TASKS, make_spec
from tests.prefixes.facts import BACKBONE


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"labels": ()}, "labels", id="no-labels"),
        pytest.param({"labels": ("a", "a")}, "labels must differ", id="equal-labels"),
        pytest.param({"labels": ("a", "")}, "labels.1", id="empty-label"),
        pytest.param({"labels": ("a", "b" * 201)}, "labels.1", id="long-label"),
        pytest.param({"labels": ("a", "\ud800")}, "labels.1", id="label-not-unicode"),
        pytest.param({"labels": ("a",)}, "needs at least two labels", id="one-label"),
        pytest.param(
            {"labels": tuple(map(str, range(10_001)))}, "at most 10000 entries", id="many-labels"
        ),
        pytest.param({"prefix_length": 0}, "prefix_length", id="no-prefix"),
        pytest.param(
            {"method": "head", "prefix_length": 4},
            "of method head must be 0, found 4",
            id="long-head",
        ),
        pytest.param(
            {"method": "head", "position_offset": 4},
            "offset of method head must be 0",
            id="head-offset",
        ),
        pytest.param(
            {"rank": 8},
            "rank belongs to method vectors only, found 8",
            id="rank-of-a-prefix",
        ),
        pytest.param(
            {"method": "vectors", "prefix_length": 4},
            "of method vectors must be 0, found 4",
            id="long-vectors",
        ),
        pytest.param(
            {"method": "head", "task_type": "embedding"},
            "needs a dense layer",
            id="head-of-nothing",
        ),
        pytest.param({"prefix_length": 1025}, "prefix_length", id="long-prefix"),
        pytest.param({"position_offset": -1}, "position_offset", id="negative-offset"),
        pytest.param({"position_offset": 1025}, "position_offset", id="large-offset"),
        pytest.param({"max_length": 2}, "max_length", id="no-room-for-a-token"),
        pytest.param({"problem_type": "ranking"}, "problem_type", id="unknown-problem"),
        pytest.param({"schema_version": 2}, "schema_version", id="later-schema"),
        pytest.param({"task_type": "generation"}, "task_type", id="unknown-task"),
        pytest.param({"head": {"pooling": "last_token"}}, "head.pooling", id="unknown-pooling"),
        pytest.param({"surprise": 1}, "surprise", id="unknown-field"),
        pytest.param({"description": "x" * 2001}, "description", id="long-description"),
        pytest.param({"thresholds": (0.5, 0.5)}, "thresholds belong to multi_label", id="no-multi"),
        pytest.param(
            {"problem_type": "multi_label_classification", "thresholds": (0.5,)},
            "1 thresholds for 2 labels",
            id="too-few-thresholds",
        ),
        pytest.param(
            {"problem_type": "multi_label_classification", "thresholds": (0.5, 1.5)},
            "thresholds.1",
            id="threshold-above-one",
        ),
        pytest.param(
            {"problem_type": "multi_label_classification", "thresholds": (0.5, float("nan"))},
            "thresholds.1",
            id="threshold-nan",
        ),
        pytest.param({"metrics": {"accuracy": float("inf")}}, "metrics.accuracy", id="metric-inf"),
        pytest.param(
            {"metrics": {str(n): 0.0 for n in range(101)}}, "at most 100 entries", id="many-metrics"
        ),
        pytest.param(
            {"golden": (GoldenExample(fields={"text": "a"}, logits=(1.0,)),)},
            "golden example 0 has 1 logits, expected 2",
            id="golden-too-short",
        ),
        pytest.param(
            {"golden": (GoldenExample(fields={"word": "a"}, logits=(1.0, 2.0)),)},
            "golden example 0: The task takes the fields: text; found: 'word'",
            id="golden-other-field",
        ),
        pytest.param(
            {"golden": [{"fields": {"text": "a"}, "logits": [float("nan"), 0]}]},
            "golden.0.logits.0",
            id="golden-nan",
        ),
        pytest.param(
            {"golden": [{"fields": {"text": "a"}, "logits": [1e39, 0]}]},
            "golden.0.logits.0",
            id="golden-beyond-float32",
        ),
        pytest.param(
            {"golden": [{"fields": {"text": "a"}, "logits": [0, 0]}] * 65},
            "at most 64 entries",
            id="many-golden",
        ),
    ],
)
def test_a_description_that_makes_no_sense_is_refused(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        make_spec(BACKBONE, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"problem_type": "regression", "labels": ("score",)}, id="regression"),
        pytest.param(
            {"problem_type": "multi_label_classification", "labels": ("a",), "thresholds": (0.3,)},
            id="multi-label",
        ),
        pytest.param({"position_offset": 0}, id="no-shift"),
        pytest.param({"prefix_length": 1024, "position_offset": 0}, id="longest-prefix"),
        pytest.param({"labels": tuple(map(str, range(10_000)))}, id="most-labels"),
    ],
)
def test_every_kind_of_sequence_classification_can_be_described(changes: dict[str, Any]) -> None:
    spec = make_spec(BACKBONE, **changes)

    assert spec.num_labels == len(spec.labels)


def test_a_text_may_reach_the_last_position_and_no_further() -> None:
    make_spec(BACKBONE, prefix_length=16, position_offset=16, max_length=112)

    with pytest.raises(ValidationError, match=r"max_length 113 does not fit.*which leaves 112"):
        make_spec(BACKBONE, prefix_length=16, position_offset=16, max_length=113)


def test_a_pooler_head_needs_a_backbone_with_a_pooler() -> None:
    without = BACKBONE.model_copy(update={"has_pooler": False})
    head = HeadSpec(pooling="pooler")
    make_spec(BACKBONE, head=head)

    with pytest.raises(ValidationError, match="pooling is pooler, but the backbone has no pooler"):
        make_spec(without, head=head)


def test_all_inconsistencies_are_told_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        make_spec(BACKBONE, labels=("a", "a"), thresholds=(0.5,), max_length=999)

    for part in ("labels must differ", "thresholds belong", "1 thresholds", "max_length 999"):
        assert part in str(caught.value)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_recipe_holds_only_what_json_can_say(number: float) -> None:
    with pytest.raises(ValidationError, match="not JSON compliant"):
        Provenance(created_at=datetime(2026, 1, 1, tzinfo=UTC), tool="x", recipe={"lr": [number]})


def test_a_description_survives_the_way_through_json() -> None:
    spec = make_spec(
        BACKBONE,
        labels=("schlecht", "汉字 🙂"),
        metrics={"accuracy": 1 / 3},
        golden=(GoldenExample(fields={"text": "naïve"}, logits=(1e-7, -2.5)),),
        provenance=Provenance(
            created_at=datetime(2026, 1, 1, tzinfo=UTC), tool="x", recipe={"lr": 1e-5, "deep": [{}]}
        ),
    )

    assert PrefixSpec.model_validate_json(spec.model_dump_json()) == spec


def test_a_description_cannot_be_changed() -> None:
    spec = make_spec(BACKBONE)

    with pytest.raises(ValidationError, match="frozen"):
        spec.max_length = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    "template",
    [
        "{text.__class__}",
        "{text[0]}",
        "{text!r}",
        "{text!s}",
        "{text:>10}",
        "{text:{width}}",
        "{0}",
        "{}",
        "{ text }",
        "{text",
        "text}",
        "{text}}",
        "{{text}",
        "{text!}",
        "{te xt}",
        "{a}{a.b}",
        "plain",
        "{{text}}",
        "",
        "{text}\ud800",
        "{text}" + "x" * 2000,
    ],
)
def test_a_template_takes_nothing_but_plain_placeholders(template: str) -> None:
    with pytest.raises(ValidationError):
        InputTemplate(text=template)
    with pytest.raises(ValidationError):
        InputTemplate(text="{text}", text_pair=template)


def test_a_template_cannot_blow_up_a_text() -> None:
    InputTemplate(text="{text}" * 20)

    with pytest.raises(ValidationError, match="at most 20 placeholders, found 21"):
        InputTemplate(text="{text}" * 21)


def test_the_fields_of_a_template_come_in_order_of_first_use() -> None:
    template = InputTemplate(text="{b} {a} {b}", text_pair="{c} {a}")

    assert template.fields == ("b", "a", "c")


def test_a_template_is_filled_with_a_requests_fields() -> None:
    template = InputTemplate(text="{premise}? {{}} {premise}", text_pair="{hypothesis}")

    rendered = template.render({"premise": "It rains", "hypothesis": "wet"})

    assert rendered == [("It rains? {} It rains", "wet")]


def test_bare_texts_fill_the_fields_in_their_order() -> None:
    template = InputTemplate(text="{b} {a}", text_pair="{c}")

    assert template.render(("1", "2", "3")) == [("1 2", "3")]
    with pytest.raises(InputRejected, match="takes the fields: b, a, c; found: 2 without names"):
        template.render(("1", "2"))
    with pytest.raises(InputRejected, match="'a' is not valid Unicode"):
        template.render(("1", "\ud800", "3"))


@given(st.text(st.characters(codec="utf-8")).filter(lambda text: not is_blank(text)))
def test_a_text_is_data_and_never_a_template(text: str) -> None:
    assert InputTemplate(text="<{text}>").render({"text": text}) == [(f"<{text}>", None)]


@given(st.text())
def test_a_template_is_plain_or_refused(template: str) -> None:
    try:
        fields = template_fields(template)
    except ValueError:
        return
    rendered = template.format_map(dict.fromkeys(fields, "x"))
    assert len(rendered) <= len(template)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param({}, "takes the fields: text; found: none", id="missing"),
        pytest.param({"text": "a", "b": "c"}, "found: 'b', 'text'", id="unknown"),
        pytest.param({"text": ""}, "'text' is empty", id="empty"),
        pytest.param({"text": " \t\n\u3000"}, "'text' is empty", id="white-space"),
        pytest.param({"text": "\u200b\ufeff\0"}, "'text' is empty.*invisible", id="invisible"),
        pytest.param({"text": "ok \ud800"}, "'text' is not valid Unicode.*character 3", id="half"),
        pytest.param({"text": "\udfff\ud800"}, "'text' is not valid Unicode", id="wrong-order"),
        pytest.param({"\ud800": "a"}, r"found: '\\ud800'", id="field-not-unicode"),
    ],
)
def test_fields_that_do_not_fit_are_refused(values: dict[str, str], message: str) -> None:
    with pytest.raises(InputRejected, match=message) as caught:
        InputTemplate().render(values)

    str(caught.value).encode()  # the message can be sent


def test_a_refusal_does_not_repeat_a_flood_of_fields() -> None:
    with pytest.raises(InputRejected) as caught:
        InputTemplate().render({"x" * n: "a" for n in range(1, 1000)})

    assert len(str(caught.value)) < 400


def test_every_task_type_has_traits_and_an_unknown_one_has_none() -> None:
    assert set(TASKS) == set(get_args(TaskType))
    for task_type in get_args(TaskType):
        assert traits_of(task_type)

    with pytest.raises(AssertionError):
        traits_of("generation")  # type: ignore[arg-type]


@pytest.mark.parametrize("task_type", sorted(TASKS))
@pytest.mark.parametrize("method", ["prefix", "prompt"])
def test_every_type_of_task_is_described_by_either_method(task_type: str, method: str) -> None:
    spec = make_spec(BACKBONE, task_type=task_type, method=method, max_length=32)

    assert PrefixSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"problem_type": None}, "requires problem_type", id="no-problem-type"),
        pytest.param({"labels": ()}, "requires labels", id="no-labels"),
        pytest.param(
            {"task_type": "embedding", "labels": ("a", "b")},
            "embedding does not allow labels",
            id="labels",
        ),
        pytest.param(
            {"task_type": "question_answering", "answers": None},
            "question_answering requires answers",
            id="answers",
        ),
        pytest.param(
            {"head": HeadSpec(pooling="mean", normalize=True)},
            "does not allow normalize",
            id="normalized-labels",
        ),
        pytest.param(
            {"task_type": "token_classification", "head": HeadSpec(pooling="mean")},
            "requires pooling every_token",
            id="pooled-tokens",
        ),
        pytest.param(
            {"task_type": "multiple_choice", "input": InputTemplate()},
            "requires a template with",
            id="no-choice",
        ),
        pytest.param(
            {"task_type": "token_classification", "input": InputTemplate(text="> {text}")},
            "must be a single placeholder",
            id="text-in-a-frame",
        ),
        pytest.param(
            {
                "task_type": "question_answering",
                "input": InputTemplate(text="{question}", text_pair="> {context}"),
            },
            "text_pair template of question_answering must be a single placeholder, since answers",
            id="context-in-a-frame",
        ),
        pytest.param(
            {
                "task_type": "token_classification",
                "labels": tuple(f"B-{n}" for n in range(1001)),
            },
            "at most 1000 labels",
            id="too-many-tags",
        ),
        pytest.param(
            {
                "task_type": "question_answering",
                "answers": {"max_answer_tokens": 10**40},
            },
            "max_answer_tokens",
            id="endless-answers",
        ),
        pytest.param(
            {"method": "prompt", "position_offset": 4},
            "offset of method prompt must be 0",
            id="shifted-prompt",
        ),
        pytest.param(
            {"method": "prompt", "max_length": BACKBONE.max_positions - 3},
            "the prompt takes 4",
            id="no-room-for-a-prompt",
        ),
        pytest.param(
            {"head": HeadSpec(pooling="first_token", pooled_from="prompt")},
            "pooled_from prompt needs a prompt",
            id="no-prompt-to-pool",
        ),
    ],
)
def test_a_task_has_what_it_needs_and_nothing_else(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        make_spec(BACKBONE, **changes)


def test_a_golden_example_is_checked_without_writing_out_what_its_template_repeats() -> None:
    choices = tuple("x" * 500_000 for _ in range(2)) + ("y",) * 98
    example = {"fields": {"text": "x" * 1_000_000, "choices": choices}, "logits": (0.0,) * 100}
    template = InputTemplate(text="{text}" * 19, text_pair="{choice}")
    tracemalloc.start()
    make_spec(BACKBONE, task_type="multiple_choice", input=template, golden=(example,))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000


def test_a_file_from_before_special_tokens_were_a_choice_keeps_their_meaning() -> None:
    described = make_spec(BACKBONE, special_tokens="text").model_dump(mode="json")
    assert described.pop("special_tokens") == "text"

    assert PrefixSpec.model_validate(described).special_tokens == "control"
