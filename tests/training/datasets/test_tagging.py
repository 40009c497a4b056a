"""CoNLL and OntoNotes: no sentence is lost, tags keep their names, predicates are told apart."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from prefixes.backbone import Backbone
from tests.factories import make_spec
from tests.training.datasets.samples import CONLL04, ONTONOTES, SRL, conll03
from tests.training.learnable_tasks import make_config, start, tagged_rows, train_all, write_jsonl
from training.data.parts import load_task
from training.datasets import DATASETS
from training.datasets.tagging import predicate_phrase
from training.errors import DataRejected, PlanRejected
from training.examples import Examples
from training.learning.learner import describe
from training.settings.config import TrainConfig
from training.tasks import definition_of
from training.tasks.entity_scores import entity_f1, role_f1
from training.tasks.tags import Mention, join_tokens, mentions_of, tag_targets
from training.tasks.words import tags_of_words, word_mentions

KIND: Final = definition_of("token_classification")


def rows_of(name: str, path: Path, text: str) -> list[dict[str, Any]]:
    path.write_text(text, encoding="utf-8")
    file = DATASETS[name].read(path)
    assert file.problems == ()
    return [dict(row.columns) for row in file.rows]


@pytest.mark.parametrize(
    "text", [conll03(is_last_blank=True), conll03(is_last_blank=False)], ids=["blank", "none"]
)
def test_conll03_has_neither_lost_nor_empty_sentences(text: str, tmp_path: Path) -> None:
    rows = rows_of("ner/conll2003", tmp_path / "train.txt", text)
    assert rows == [
        {"tokens": ["my", "river", "city"], "tags": ["O", "B-LOC", "I-LOC"]},
        {"tokens": ["hello", "is", "late"], "tags": ["B-PER", "O", "O"]},
    ]


@pytest.mark.parametrize(
    ("name", "file", "text", "last"),
    [
        ("ner/conll2004", "train.txt", CONLL04, ["hello", "win"]),
        ("ner/ontonotes", "train.sd.conllx", ONTONOTES, ["many", "call"]),
    ],
)
def test_the_last_sentence_needs_no_blank_line_after_it(
    name: str, file: str, text: str, last: list[str], tmp_path: Path
) -> None:
    rows = rows_of(name, tmp_path / file, text)
    assert [row["tokens"] for row in rows] == [["river", "city", "is"], last]


def test_labels_have_the_numbers_of_the_original() -> None:
    assert DATASETS["ner/conll2004"].defaults["labels"] == (
        *("O", "B-Loc", "B-Peop", "B-Org", "B-Other"),
        *("I-Loc", "I-Peop", "I-Org", "I-Other"),
    )
    assert DATASETS["ner/conll2003"].defaults["labels"][:3] == ("O", "B-PER", "I-PER")
    ontonotes = DATASETS["ner/ontonotes"].defaults["labels"]
    assert (len(ontonotes), ontonotes[0], ontonotes[36]) == (37, "B-CARDINAL", "O")


def test_the_hub_numbers_tags_or_counts_entities_in_tokens(tmp_path: Path) -> None:
    tokens = ["my", "river", "city"]
    path = write_jsonl(tmp_path / "a.jsonl", [{"tokens": tokens, "ner_tags": [0, 5, 6]}])
    assert DATASETS["ner/conll2003"].read(path).rows[0].columns["tags"] == ["O", "B-LOC", "I-LOC"]
    entity = {"type": "Loc", "start": 1, "end": 3}
    path = write_jsonl(tmp_path / "b.jsonl", [{"tokens": tokens, "entities": [entity]}])
    assert DATASETS["ner/conll2004"].read(path).rows[0].columns["tags"] == ["O", "B-Loc", "I-Loc"]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("ner/conll2003", "hello\n", "a token in column 1 and a tag in the last, found 'hello'"),
        ("srl/conll2005", "9 it is ||| O O\n", "found 2 words, 2 tags, and the index '9'"),
        ("srl/conll2005", "0 it is ||| O\n", "found 2 words, 1 tags"),
    ],
)
def test_lines_that_are_none_are_told_by_their_numbers(
    name: str, text: str, expected: str, tmp_path: Path
) -> None:
    path = tmp_path / "train.txt"
    path.write_text(f"\n{text}", encoding="utf-8")
    config = TrainConfig(task="a/b", dataset=name, train=path, validation=path)
    with pytest.raises(DataRejected) as caught:
        load_task(config)
    problem = caught.value.problems[0]
    assert (problem.file.name, problem.line) == ("train.txt", 2)
    assert expected in problem.message


def test_a_predicate_is_named_with_the_words_before_it_that_tell_it_apart() -> None:
    words = ["call", "me", "and", "call", "my", "book"]
    assert predicate_phrase(words, 5) == "book"
    assert predicate_phrase(words, 3) == "and call"
    assert predicate_phrase(words, 0) == "call"  # the other one is never named so
    again = ["it", "is", "and", "it", "is", "not"]
    assert predicate_phrase(again, 1) == "it is"  # twice, but nothing stands before it here
    assert predicate_phrase(again, 4) == "and it is"


def test_roles_are_learned_from_the_text_and_its_predicate(
    backbone: Backbone, tmp_path: Path
) -> None:
    path = tmp_path / "conll05.train.txt"
    path.write_text(SRL, encoding="utf-8")
    config = make_config(path, dataset="srl/conll2005", validation=path)
    data = load_task(config)
    assert data.train.inputs == (
        {"text": "hello call the train now", "predicate": "call"},
        {"text": "call the city and call my book", "predicate": "and call"},
    )
    assert data.labels == (
        *("O", "B-A0", "I-A0", "B-A1", "I-A1", "B-AM-TMP", "I-AM-TMP", "B-V", "I-V"),
    )
    spec = describe(config, data, backbone)
    ((text,), _) = KIND.encode(backbone.texts, spec, data.train)
    # [CLS] hello call the train now [SEP] call [SEP]: the tokenizer's own separator and types
    assert text.token_type_ids == [0] * 7 + [1] * 2
    assert text.token_ids[6] == text.token_ids[8]
    targets = tag_targets(spec.labels, data.train.truths[0], text)
    named = [spec.labels[number] for number in targets if number >= 0]
    assert named == ["B-A0", "B-V", "B-A1", "I-A1", "B-AM-TMP"]
    run = start(backbone, config)
    train_all(backbone, [run])
    assert run.best is not None
    assert {"entity_f1", "role_f1"} <= run.best.metrics.keys()


ROLES: Final = "B-A1 O B-V B-C-V B-C-A1 I-C-A1 B-A0"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param("B-A1 O B-V B-C-V B-C-A1 I-C-A1 B-A0", 1.0, id="all-right"),
        pytest.param("B-A1 O B-V O B-C-A1 I-C-A1 B-A0", 1.0, id="C-V-missed"),
        pytest.param("B-A1 O O O B-C-A1 I-C-A1 B-A0", 1.0, id="V-missed"),
        # A1 of one part is another role than A1 of two: one right of two found and of two true
        pytest.param("B-A1 O B-V B-C-V O O B-A0", 0.5, id="continuation-missed"),
        pytest.param("B-A1 O B-V B-C-V B-C-A1 O B-A0", 0.5, id="continuation-too-short"),
        # C-A2 continues nothing and is a role of its own: one right of three found and two true
        pytest.param("B-A1 O B-V B-C-V B-C-A2 I-C-A2 B-A0", 0.4, id="continues-nothing"),
        # without a role before it, C-A1 is an A1
        pytest.param("O O B-V B-C-V B-C-A1 I-C-A1 B-A0", 0.5, id="first-part-missed"),
        pytest.param("O O B-V O O O O", 0.0, id="nothing-but-V"),
    ],
)
def test_the_f1_of_roles_is_that_of_srl_eval(given: str, expected: float) -> None:
    text, _ = join_tokens(["w"] * 7)
    found, true = (word_mentions(text, tags.split()) for tags in (given, ROLES))
    assert role_f1([found], [true]) == pytest.approx(expected)


def test_a_continuation_without_a_role_before_it_is_that_role() -> None:
    text, _ = join_tokens(["w"] * 3)
    found, true = (word_mentions(text, tags.split()) for tags in ("O B-C-A1 O", "O B-A1 O"))
    assert role_f1([found], [true]) == 1.0


def test_roles_are_made_of_whole_words(backbone: Backbone) -> None:
    labels = ("O", "B-A1", "I-A1", "B-V", "I-V")
    spec = make_spec(backbone.fingerprint, task_type="token_classification", labels=labels)
    inputs = ({"text": "my card. now"},)
    encoded = backbone.texts.encode(spec, inputs)
    # [CLS] my card . now [SEP]: the full stop is missed
    logits = np.eye(5, dtype=np.float32)[[0, 3, 1, 0, 0, 0]]
    examples = Examples(inputs, ((Mention(0, 2, "V"), Mention(3, 8, "A1")),))
    measured = KIND.measure(spec, examples, encoded, [[logits]])
    assert measured.metrics["role_f1"] == 1.0


def test_the_f1_of_roles_chooses_the_best_step_where_there_are_roles(tmp_path: Path) -> None:
    path = tmp_path / "conll05.train.txt"
    path.write_text(SRL, encoding="utf-8")
    config = make_config(path, dataset="srl/conll2005", validation=path, select_by="role_f1")
    assert "B-V" in load_task(config).labels
    rows = write_jsonl(tmp_path / "rows.jsonl", tagged_rows(10))
    with pytest.raises(PlanRejected, match=r"select_by role_f1 .* has no label B-V"):
        load_task(make_config(rows, task_type="token_classification", select_by="role_f1"))


def test_a_sentence_longer_than_max_length_trains(backbone: Backbone, tmp_path: Path) -> None:
    long = "".join("city NNP I-NP B-LOC\n" for _ in range(400)) + "\n"
    path = tmp_path / "train.txt"
    path.write_text(long + conll03(is_last_blank=True), encoding="utf-8")
    config = make_config(path, dataset="ner/conll2003", validation=path, max_length=8, epochs=1)
    run = start(backbone, config)
    assert max(len(text.token_ids) for piece in run.pieces for text in piece.texts) == 8
    train_all(backbone, [run])
    assert run.ended == "all steps were taken"


@pytest.mark.parametrize(
    "tags",
    [
        ["B-x I-x O", "I-x I-x O"],
        ["B-x I-y I-y", "B-x B-x I-x"],
        ["O I-x B-x", "I-y I-x O"],
        ["I-x O I-x", "B-y I-y I-y"],
        ["O O O", "B-x O O"],
    ],
)
def test_f1_of_whole_words_is_that_of_seqeval(tags: list[str]) -> None:
    seqeval = pytest.importorskip("seqeval.metrics", reason="seqeval is not installed")
    found, true = (one.split() for one in tags)
    text, spans = join_tokens(["w", "x.", "y"])
    gold = mentions_of(text, spans, true)
    mine = entity_f1([set(word_mentions(text, found))], [gold])
    assert tags_of_words(text, gold) == ["O" if tag == "O" else tag for tag in _mended(true)]
    if any(tag != "O" for tag in true):
        assert mine == pytest.approx(seqeval.f1_score([true], [found]))


def _mended(tags: list[str]) -> list[str]:
    """Let every entity begin with B-, as the usual reading has it."""
    mended = []
    previous = "O"
    for tag in tags:
        begins = tag != "O" and (tag[0] == "B" or tag[2:] != previous[2:])
        mended.append(f"B-{tag[2:]}" if begins else tag)
        previous = tag
    return mended


def test_an_entity_that_stops_within_a_word_is_one_of_whole_words(backbone: Backbone) -> None:
    spec = make_spec(
        backbone.fingerprint, task_type="token_classification", labels=("O", "B-x", "I-x")
    )
    inputs = ({"text": "my card. now"},)
    truths = ((Mention(3, 8, "x"),),)  # card.
    encoded = backbone.texts.encode(spec, inputs)
    # [CLS] my card . now [SEP]: the full stop is missed
    logits = np.eye(3, dtype=np.float32)[[0, 0, 1, 0, 0, 0]]
    measured = KIND.measure(spec, Examples(inputs, truths), encoded, [[logits]])
    assert measured.metrics["entity_f1"] == 0.0
    assert measured.metrics["word_entity_f1"] == 1.0


def test_licensed_sets_are_asked_for_as_files() -> None:
    with pytest.raises(ValueError, match="licensed and not on the hub"):
        TrainConfig.model_validate({"task": "a/b", "dataset": "srl/conll2012"})
    with pytest.raises(PlanRejected, match="--data-dir"):
        DATASETS["ner/ontonotes"].hub_sources()
