"""Token classification: tags become mentions, mentions become targets, and scores are strict."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from prefixes.backbone import Backbone
from tests.factories import make_prefix, make_spec
from tests.training.learnable_tasks import make_config, tagged_rows, write_jsonl
from training.data.parts import load_examples, load_task
from training.errors import DataRejected
from training.examples import Columns, Examples
from training.learning.evaluate import evaluate, predictions
from training.tasks import definition_of
from training.tasks.entity_scores import score_entities
from training.tasks.losses import IGNORED
from training.tasks.tag_schemes import all_tags
from training.tasks.tags import Mention, join_tokens, mentions_of, tag_targets

TASK_TYPE: Final = "token_classification"


def read(path: Path, **changes: Any) -> Any:
    return load_task(make_config(path, task_type=TASK_TYPE, **{"validation": path, **changes}))


def problems_of(tmp_path: Path, *rows: dict[str, Any], **changes: Any) -> list[str]:
    sound = {"tokens": ["good", "film"], "tags": ["O", "B-topic"]}
    with pytest.raises(DataRejected) as caught:
        read(write_jsonl(tmp_path / "rows.jsonl", [sound, *rows]), **changes)
    problems = dict.fromkeys(str(problem).partition(": ")[2] for problem in caught.value.problems)
    return list(problems)


def test_tokens_are_joined_with_spaces_and_tags_become_characters_of_the_text(
    tmp_path: Path,
) -> None:
    rows = [
        {"tokens": ["the", "city", "river", ",", "now"], "tags": ["O", "B-a", "I-a", "O", "B-b"]}
    ]
    data = read(write_jsonl(tmp_path / "rows.jsonl", rows))
    assert data.train.inputs == ({"text": "the city river , now"},)
    assert data.train.truths == ((Mention(4, 14, "a"), Mention(17, 20, "b")),)
    assert data.labels == ("O", "B-a", "I-a", "B-b", "I-b")


def test_entities_of_a_text_say_the_same_as_tags_of_its_tokens(tmp_path: Path) -> None:
    text = "the city river , now"
    entities = [
        {"start": 17, "end": 20, "label": "b"},
        {"start": 4, "end": 15, "label": "a"},  # white space at the end is removed
    ]
    data = read(write_jsonl(tmp_path / "rows.jsonl", [{"text": text, "entities": entities}]))
    assert data.train.inputs == ({"text": text},)
    assert data.train.truths == ((Mention(4, 14, "a"), Mention(17, 20, "b")),)
    assert data.labels == ("O", "B-a", "I-a", "B-b", "I-b")


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        pytest.param("B-a I-a B-a O", [(0, 3, "a"), (4, 5, "a")], id="begins-again"),
        pytest.param("O I-a I-a O", [(2, 5, "a")], id="goes-on-with-nothing"),
        pytest.param("B-a I-b I-b O", [(0, 1, "a"), (2, 5, "b")], id="goes-on-with-another"),
        pytest.param("a a O b", [(0, 3, "a"), (6, 7, "b")], id="plain-types"),
    ],
)
def test_tags_are_read_as_the_evaluation_of_conll_reads_them(
    tags: str, expected: list[tuple[int, int, str]]
) -> None:
    text, spans = join_tokens(["w", "x", "y", "z"])
    found = mentions_of(text, spans, tags.split())
    assert found == tuple(Mention(*fields) for fields in expected)


def test_tags_are_listed_with_o_first() -> None:
    assert all_tags(["B-b", "O", "I-a"]) == ("O", "B-a", "I-a", "B-b", "I-b")
    assert all_tags(["VERB", "NOUN"]) == ("O", "NOUN", "VERB")


@pytest.mark.parametrize(
    ("scheme", "given"),
    [("BIOES", "B-a I-a E-a S-a S-b O"), ("BILOU", "B-a I-a L-a U-a U-b O")],
)
def test_tags_of_other_schemes_say_what_bio_says(tmp_path: Path, scheme: str, given: str) -> None:
    tokens = ["u", "v", "w", "x", "y", "z"]
    sets = [
        read(
            write_jsonl(tmp_path / f"{name}.jsonl", [{"tokens": tokens, "tags": tags.split()}]),
            **changes,
        )
        for name, tags, changes in (
            (scheme, given, {}),
            ("given", given, {"labels": tuple(dict.fromkeys(given.split()))}),
            ("bio", "B-a I-a I-a B-a B-b O", {}),
        )
    ]
    found, with_labels, expected = sets
    assert found.labels == expected.labels == ("O", "B-a", "I-a", "B-b", "I-b")
    assert found.train.truths == with_labels.train.truths == expected.train.truths
    assert with_labels.labels == ("B-a", "I-a", "B-b", "O")


def test_a_type_may_be_named_like_a_mark(tmp_path: Path) -> None:
    rows = [{"tokens": ["w", "x", "y"], "tags": ["E-mail", "O", "S-Bahn"]}]
    data = read(write_jsonl(tmp_path / "rows.jsonl", rows))
    assert data.labels == ("O", "E-mail", "S-Bahn")
    assert data.train.truths == ((Mention(0, 1, "E-mail"), Mention(4, 5, "S-Bahn")),)
    marked = [{"tokens": ["w", "x", "y"], "tags": ["B-E-mail", "O", "plain"]}]
    labels = ("O", "B-E-mail", "I-E-mail", "plain")
    given = read(write_jsonl(tmp_path / "marked.jsonl", marked), labels=labels)
    assert given.labels == labels
    assert given.train.truths == ((Mention(0, 1, "E-mail"), Mention(4, 5, "plain")),)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param("b-a i-a b-a b-b o", id="lower-case"),
        pytest.param("B_a I_a B_a B_b O", id="underscores"),
        pytest.param("a-B a-I a-B b-B O", id="suffixes"),
        pytest.param("a_b a_i a_b b_b o", id="lower-case-suffixes"),
        pytest.param("I-a I-a B-a I-b O", id="IOB1"),
        pytest.param("i_a i_a b_a i_b o", id="lower-case-IOB1"),
        pytest.param("b-a e-a s-a s-b o", id="lower-case-BIOES"),
        pytest.param("a_B a_L a_U b_U O", id="suffixed-BILOU"),
        pytest.param("B-a E-a S-a S-b O", id="BMES"),
        pytest.param("B-a I-a b-a B-b o", id="mixed-case"),
    ],
)
def test_tags_are_recognized_in_any_spelling(tmp_path: Path, given: str) -> None:
    tokens = ["v", "w", "x", "y", "z"]
    rows = [{"tokens": tokens, "tags": given.split()}]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    data = read(path)
    assert data.labels == ("O", "B-a", "I-a", "B-b", "I-b")
    expected = ((Mention(0, 3, "a"), Mention(4, 5, "a"), Mention(6, 7, "b")),)
    assert data.train.truths == expected
    for labels in (("a", "b"), tuple(dict.fromkeys(given.split()))):
        assert read(path, labels=labels).train.truths == expected


def test_an_unusual_spelling_is_a_warning(tmp_path: Path) -> None:
    rows = [{"tokens": ["w", "x", "y"], "tags": ["PER-B", "PER-I", "o"]}]
    data = read(write_jsonl(tmp_path / "rows.jsonl", rows))
    expected = (
        "rows.jsonl: tags are read as BIO: 'PER-B' as 'B-PER', 'PER-I' as 'I-PER', 'o' as 'O'"
    )
    assert data.warnings[0] == expected
    usual = [{"tokens": ["w", "x", "y"], "tags": ["S-PER", "B-PER", "E-PER"]}]
    told = read(write_jsonl(tmp_path / "usual.jsonl", usual)).warnings
    assert not any("BIO" in one for one in told)


def test_types_that_look_like_tags_are_a_warning(tmp_path: Path) -> None:
    entities = [{"start": 0, "end": 3, "label": "B-PER"}, {"start": 4, "end": 8, "label": "I-PER"}]
    path = write_jsonl(tmp_path / "rows.jsonl", [{"text": "the film", "entities": entities}])
    expected = (
        "rows.jsonl: entity types that look like tags: 'B-PER', 'I-PER': label whole entities"
    )
    assert read(path).warnings[0] == expected


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        pytest.param("B-a I-a LOC", "'LOC'", id="one-without-a-mark"),
        pytest.param("NOUN VERB B-a", "'B-a'", id="one-with-a-mark"),
    ],
)
def test_tags_of_no_scheme_are_refused(tmp_path: Path, tags: str, found: str) -> None:
    rows = [{"tokens": ["v", "w", "x"], "tags": tags.split()}]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    with pytest.raises(DataRejected, match=f"expected tags of one scheme.* found {found}"):
        read(path)


def test_labels_without_a_first_tag_are_learned_by_the_other(backbone: Backbone) -> None:
    spec = make_spec(backbone.fingerprint, task_type=TASK_TYPE, labels=("O", "I-x"))
    ((text,),) = backbone.texts.encode(spec, [{"text": "the city river"}])
    assert tag_targets(spec.labels, [Mention(4, 14, "x")], text)[1:-1] == [0, 1, 1]


def test_labels_may_be_given_as_tags_or_as_types(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", tagged_rows(10))
    tags = ("O", "B-praise", "B-topic", "I-praise", "I-topic")
    assert read(path, labels=tags).labels == tags
    assert read(path, labels=("praise", "topic")).labels == all_tags(["B-praise", "B-topic"])


def test_the_first_token_of_every_word_carries_its_tag(backbone: Backbone) -> None:
    spec = make_spec(backbone.fingerprint, task_type=TASK_TYPE, labels=("O", "B-x", "I-x"))
    ((text,),) = backbone.texts.encode(spec, [{"text": "the xylo-film is bad"}])
    # [CLS] the x ##y ##l ##o - film is bad [SEP]
    mentions = [Mention(4, 13, "x"), Mention(17, 20, "x")]
    skip = IGNORED
    assert tag_targets(spec.labels, mentions, text) == [
        *(skip, 0, 1, skip, skip, skip, 2, 2, 0, 1, skip)
    ]


def test_a_mention_that_begins_within_a_word_tags_the_word(backbone: Backbone) -> None:
    spec = make_spec(backbone.fingerprint, task_type=TASK_TYPE, labels=("O", "B-x", "I-x"))
    ((text,),) = backbone.texts.encode(spec, [{"text": "xylo film bad"}])
    mentions = [Mention(2, 9, "x")]  # xy[lo film]
    assert [tag for tag in tag_targets(spec.labels, mentions, text) if tag != IGNORED] == [1, 2, 0]


def test_a_mention_that_was_cut_off_has_no_target_and_counts_as_missed(
    backbone: Backbone,
) -> None:
    spec = make_spec(backbone.fingerprint, task_type=TASK_TYPE, max_length=4)
    prefix = make_prefix(backbone.fingerprint, task_type=TASK_TYPE, max_length=4)
    definition = definition_of(TASK_TYPE)
    examples = Examples(
        ({"text": "the film is bad"},), ((Mention(4, 8, "thing"), Mention(12, 15, "thing")),)
    )
    encoded = definition.encode(backbone.texts, spec, examples)
    (piece,) = definition.pieces(spec, examples.truths[0], encoded[0])
    assert piece.target.tolist() == [IGNORED, 0, 1, IGNORED]
    right = np.eye(3, dtype=np.float32)[[0, 0, 1, 0]]
    result = definition.measure(prefix.spec, examples, encoded, [[right]])
    assert result.metrics["entity_recall"] == 0.5
    assert result.metrics["entity_precision"] == result.metrics["token_accuracy"] == 1.0


def test_entities_are_scored_as_by_hand() -> None:
    found = [
        {Mention(0, 3, "a"), Mention(5, 9, "b")},  # the second is of the other type
        {Mention(0, 4, "a")},  # a character too long
        set[Mention](),
    ]
    true = [[Mention(0, 3, "a"), Mention(5, 9, "a")], [Mention(0, 3, "a")], [Mention(2, 3, "c")]]
    result = score_entities(found, true, token_accuracy=0.5)
    assert result.metrics["entity_precision"] == pytest.approx(1 / 3)
    assert result.metrics["entity_recall"] == pytest.approx(1 / 4)
    assert result.metrics["entity_f1"] == pytest.approx(2 / 7)
    # a: 1 of 2 found, 1 of 3 true; b: none true; c: none found
    assert result.metrics["macro_f1"] == pytest.approx((2 / 5 + 0 + 0) / 3)
    assert result.metrics["token_accuracy"] == 0.5
    assert [(one.label, one.support) for one in result.per_label] == [("a", 3), ("b", 0), ("c", 1)]


def test_no_entities_at_all_score_nothing() -> None:
    assert score_entities([set()], [[]], token_accuracy=1.0).metrics["entity_f1"] == 0.0


def test_everything_wrong_with_rows_is_told(tmp_path: Path) -> None:
    problems = problems_of(
        tmp_path,
        {"tokens": "the film", "tags": ["O", "O"]},
        {"tokens": ["a", "film"], "tags": ["O"]},
        {"tokens": ["a", 7], "tags": ["O", "O"]},
        {"tokens": ["a"], "tags": ["O"], "unused": 1},
        {"text": "the film", "entities": [{"start": 4, "end": 9, "label": "topic"}]},
        {"text": "the film", "entities": "film"},
        {
            "text": "the film",
            "entities": [
                {"start": 4, "end": 8, "label": "topic"},
                {"start": 0, "end": 5, "label": "topic"},
            ],
        },
        {"text": " ", "entities": []},
        {"tokens": ["", "\u200b"], "tags": ["O", "O"]},
    )
    expected = (
        "'tokens': expected a list of texts, found 'the film'",
        "'tags': expected a tag for each token, found 1 tags for 2 tokens",
        "'tokens': expected a list of texts, found ['a', 7]",
        "'entities': expected start, end and label of characters of the text",
        "'entities': expected a list of entities, found 'film'",
        "share characters",
        "'text': expected text, found an empty text",
        "'tokens': expected text, found empty tokens",
    )
    for part in expected:
        assert any(part in problem for problem in problems), part
    assert not any("unused" in problem for problem in problems)


def test_a_type_that_the_task_does_not_have_is_told(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, labels=("praise",))
    assert problem == "the label 'topic' is not one of the task's labels"


def test_rows_that_name_nothing_are_refused(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", [{"tokens": ["a"], "tags": ["O"]}] * 3)
    with pytest.raises(DataRejected, match="no row has an entity"):
        read(path)


def test_a_prefix_is_measured_on_rows_and_predicts_rows_of_the_same_form(
    backbone: Backbone, tmp_path: Path
) -> None:
    labels = all_tags(["B-praise", "B-topic"])
    prefix = make_prefix(backbone.fingerprint, task_type=TASK_TYPE, labels=labels)
    path = write_jsonl(tmp_path / "rows.jsonl", tagged_rows(12))
    examples = load_examples(path, prefix.spec, Columns())
    answers = list(predictions(backbone, prefix, examples.inputs, tokens_per_batch=64))
    again = write_jsonl(tmp_path / "again.jsonl", answers)
    predicted = load_examples(again, prefix.spec, Columns())
    measured = evaluate(backbone, prefix, predicted, tokens_per_batch=64)
    assert any(predicted.truths)
    assert measured.metrics["entity_f1"] == 1.0


def test_the_background_is_no_entity(tmp_path: Path) -> None:
    rows = [{"text": "the film", "entities": [{"start": 4, "end": 8, "label": "O"}]}]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)

    with pytest.raises(DataRejected, match="expected start, end and label"):
        load_task(make_config(path, task_type="token_classification"))


@pytest.mark.parametrize("tag", ["B-", "I-", "B- ", "", "B", "i"])
def test_a_tag_without_a_type_is_a_problem(tmp_path: Path, tag: str) -> None:
    rows = [{"tokens": ["a", "b"], "tags": ["B-x", tag]}]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    with pytest.raises(DataRejected, match=f"line 1: 'tags': expected tags .* found '{tag}'"):
        load_task(make_config(path, task_type="token_classification"))
