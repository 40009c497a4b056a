"""SuperGLUE: official rows, those of the hub and plain ones become the texts of P-tuning v2."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from prefixes import InputTemplate, Provenance
from prefixes.backbone import Backbone, load_backbone
from tests.factories import make_backbone_folder, make_spec
from tests.training.datasets.samples import SUPERGLUE, unlabeled, write_superglue
from tests.training.learnable_tasks import make_config, start, train_all, write_jsonl
from training.data.parts import load_examples, load_task
from training.datasets import DATASETS
from training.errors import DataRejected, PlanRejected
from training.examples import Columns
from training.settings.config import TrainConfig
from training.tasks.answer_scores import score_candidates


def read(folder: Path, task: str, *rows: dict[str, Any]) -> list[dict[str, Any]]:
    path = write_jsonl(folder / "rows.jsonl", rows)
    file = DATASETS[f"superglue/{task}"].read(path)
    assert file.problems == ()
    return [dict(row.columns) for row in file.rows]


def texts_of(folder: Path, task: str, *rows: dict[str, Any], number: int = 0) -> list[Any]:
    """Give the texts of rows as the tokenizer gets them."""
    dataset = DATASETS[f"superglue/{task}"]
    path = write_jsonl(folder / "rows.jsonl", rows)
    config = TrainConfig(
        task="a/b", dataset=dataset.name, train=path, validation=path, **dataset.template(number)
    )
    data = load_task(config)
    return [pair for fields in data.train.inputs for pair in data.template.render(fields)]


@pytest.mark.parametrize("task", SUPERGLUE)
def test_every_task_is_read_from_its_official_files(task: str, tmp_path: Path) -> None:
    dataset = DATASETS[f"superglue/{task}"]
    files = dataset.local_files(write_superglue(tmp_path, task))
    assert set(files) == {"train", "validation", "test"}
    config = TrainConfig(
        task="a/b", dataset=dataset.name, train=files["train"], validation=files["validation"]
    )
    data = load_task(config)
    per_row = 2 if task in {"multirc", "record"} else 1
    assert (len(data.train), len(data.validation)) == (12 * per_row, 6 * per_row)
    assert data.labels == (dataset.labels or ())
    tested = dataset.read(Path(files["test"]))
    assert tested.problems == ()
    assert len(tested.rows) == 4 * per_row
    assert not any("label" in row.columns for row in tested.rows)


def test_pairs_take_official_columns_or_plain_ones(tmp_path: Path) -> None:
    official = {"question": "is it", "passage": "it is", "label": True, "idx": 3}
    plain = {"text_a": "is it", "text_b": "it is", "label": "true"}
    of_hub = {"question": "is it", "passage": "it is", "label": 1, "idx": 3}
    for row in (official, plain, of_hub):
        (found,) = read(tmp_path, "boolq", row)
        assert found["label"] == "True"
        assert (found["question"], found["passage"]) == ("is it", "it is")


def test_the_hub_hides_labels_as_minus_one(tmp_path: Path) -> None:
    (found,) = read(tmp_path, "rte", {"premise": "a", "hypothesis": "b", "label": -1, "idx": 0})
    assert found == {"premise": "a", "hypothesis": "b", "idx": 0}


def test_wic_asks_in_one_text_or_names_the_word_in_two(tmp_path: Path) -> None:
    rows = [
        {"word": "card", "sentence1": "my card", "sentence2": "a card", "label": False},
        {"word": "card", "sentence1": "one card", "sentence2": "a card", "label": True},
    ]
    first, _ = texts_of(tmp_path, "wic", *rows)
    question = "Does card have the same meaning in both sentences?"
    assert first == (f"my card a card {question}", None)
    first, _ = texts_of(tmp_path, "wic", *rows, number=1)
    assert first == ("card: my card", "card: a card")


def test_wsc_names_the_pronoun_or_marks_it(tmp_path: Path) -> None:
    target = {"span1_text": "Mark", "span1_index": 0, "span2_text": "He", "span2_index": 3}
    row = {"text": "Mark told lies. He laughed.", "target": target, "label": True, "idx": 0}
    others = [{**row, "label": False}]
    first, _ = texts_of(tmp_path, "wsc", row, *others)
    assert first == ("He: Mark told lies. He laughed.", "Mark")
    first, _ = texts_of(tmp_path, "wsc", row, *others, number=1)
    assert first == ("Mark told lies. *He* laughed.", "Mark")
    flat = {"text_a": row["text"], "text_b": "He refers to Mark", "label": "true", **target}
    assert read(tmp_path, "wsc", flat)[0]["marked_text"] == "Mark told lies. *He* laughed."


def test_copa_asks_for_causes_with_because_and_for_effects_with_so(tmp_path: Path) -> None:
    row = {"premise": "It is late.", "choice1": "I win.", "choice2": "I lost.", "label": 0}
    cause, effect = {**row, "question": "cause"}, {**row, "question": "effect", "label": 1}
    assert texts_of(tmp_path, "copa", cause, effect) == [
        ("It is late. because", "I win."),
        ("It is late. because", "I lost."),
        ("It is late. so", "I win."),
        ("It is late. so", "I lost."),
    ]
    plain = {"text_a": "It is late.", "choices": ["I win.", "I lost."], "question": "cause"}
    assert texts_of(tmp_path, "copa", {**plain, "label": "0"}, {**plain, "label": "1"})[:2] == [
        ("It is late. because", "I win."),
        ("It is late. because", "I lost."),
    ]


def test_multirc_has_a_row_for_each_answer(tmp_path: Path) -> None:
    found = texts_of(tmp_path, "multirc", SUPERGLUE["multirc"](0, "city", "good"))
    assert found == [
        ("the city is good", "how is the city good"),
        ("the city is good", "how is the city bad"),
    ]


def test_record_puts_each_entity_in_the_place_that_a_query_leaves_out(tmp_path: Path) -> None:
    official = SUPERGLUE["record"](0, "film", "good")
    of_hub = {
        "passage": official["passage"]["text"],
        "query": official["qas"][0]["query"],
        "entities": ["film", "money"],
        "answers": ["film"],
        "idx": {"passage": 0, "query": 0},
    }
    passage = "the film is good\n- the money is not"
    for row in (official, of_hub):
        assert texts_of(tmp_path, "record", row) == [
            (passage, "what is good is the film"),
            (passage, "what is good is the money"),
        ]
        assert [one["label"] for one in read(tmp_path, "record", row)] == ["1", "0"]
    (hidden, _) = read(tmp_path, "record", unlabeled(official))
    assert "label" not in hidden


def test_the_best_candidate_of_each_query_is_held_against_the_accepted_answers(
    tmp_path: Path,
) -> None:
    rows = [SUPERGLUE["record"](n, noun, "good") for n, noun in enumerate(["train", "book"])]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    config = TrainConfig(task="a/b", dataset="superglue/record", train=path, validation=path)
    candidates = load_task(config).train.candidates
    assert [one.text for one in candidates] == ["train", "money", "book", "money"]
    right = {"query_f1": 1.0, "query_exact_match": 1.0}
    assert score_candidates(candidates, [2.0, 1.0, 0.5, 0.1]) == right
    half = {"query_f1": 0.5, "query_exact_match": 0.5}
    assert score_candidates(candidates, [1.0, 2.0, 0.5, 0.1]) == half
    # Of equals the one that is last in the alphabet: train, money.
    assert score_candidates(candidates, [0.0, 0.0, 0.0, 0.0]) == half


def test_queries_stay_whole_when_rows_are_parted(tmp_path: Path) -> None:
    rows = [SUPERGLUE["record"](n, "film", "good") for n in range(20)]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    config = TrainConfig(task="a/b", dataset="superglue/record", train=path, max_rows=10)
    data = load_task(config)
    assert len(data.train) == 10
    assert len(data.validation) == 4
    for part in (data.train, data.validation):
        queries = [one.query for one in part.candidates]
        assert all(queries.count(query) == 2 for query in queries)
    trained, held_out = ({one.query for one in x.candidates} for x in (data.train, data.validation))
    assert not trained & held_out


def test_record_learns_with_a_tokenizer_that_has_no_types_of_tokens(tmp_path: Path) -> None:
    backbone = load_backbone(make_backbone_folder(tmp_path / "roberta", "roberta"), device="cpu")
    files = DATASETS["superglue/record"].local_files(write_superglue(tmp_path, "record"))
    config = make_config(
        Path(files["train"]),
        dataset="superglue/record",
        validation=files["validation"],
        max_length=48,
        epochs=1,
    )
    run = start(backbone, config)
    train_all(backbone, [run])
    assert run.best is not None
    assert 0 <= run.best.metrics["query_f1"] <= 1


@pytest.mark.parametrize(
    ("task", "row", "expected"),
    [
        pytest.param(
            "boolq", {"text": "x"}, "superglue/boolq, question and passage, or", id="form"
        ),
        pytest.param(
            "copa",
            {"premise": "x", "choice1": "a", "choice2": "b", "question": "why", "label": 0},
            "expected cause or effect, found 'why'",
            id="question",
        ),
        pytest.param("wsc", {"text": "x", "target": {}}, "span1_text, span2_text", id="spans"),
        pytest.param("multirc", {"passage": {"text": "x"}}, "text and questions", id="questions"),
        pytest.param("record", {"passage": {}, "qas": []}, "text and entities", id="entities"),
    ],
)
def test_rows_of_no_form_are_told_with_what_was_expected(
    task: str, row: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", [row])
    config = TrainConfig(task="a/b", dataset=f"superglue/{task}", train=path, validation=path)
    with pytest.raises(DataRejected) as caught:
        load_task(config)
    problem = caught.value.problems[0]
    assert (problem.file.name, problem.line) == ("rows.jsonl", 1)
    assert expected in problem.message


def test_a_prefix_of_a_set_reads_other_columns_by_their_names(
    backbone: Backbone, tmp_path: Path
) -> None:
    recipe = {"dataset": "superglue/boolq"}
    provenance = Provenance(created_at=datetime.now(UTC), tool="test", recipe=recipe)
    pair = InputTemplate(text="{question}", text_pair="{passage}")
    labels = ("False", "True")
    spec = make_spec(backbone.fingerprint, labels=labels, input=pair, provenance=provenance)
    official = {"question": "is it", "passage": "it is", "label": True}
    other = {"q": "is it", "p": "it is", "label": "True"}
    for row, columns in ((official, Columns()), (other, Columns("q", "p"))):
        examples = load_examples(write_jsonl(tmp_path / "rows.jsonl", [row]), spec, columns)
        assert examples.inputs == ({"question": "is it", "passage": "it is"},)
        assert examples.truths == (1,)


def test_record_without_its_queries_cannot_be_chosen_by_their_answers(tmp_path: Path) -> None:
    rows = [{"passage": "x", "query": "y", "label": label} for label in (0, 1)]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    config = TrainConfig(task="a/b", dataset="superglue/record", train=path, validation=path)
    with pytest.raises(PlanRejected, match="rows that answer queries"):
        load_task(config)


def test_every_row_of_record_belongs_to_a_query_where_any_does(tmp_path: Path) -> None:
    train = write_jsonl(tmp_path / "train.jsonl", [SUPERGLUE["record"](0, "film", "good")])
    row = {"passage": "x", "query": "y", "label": 1}
    validation = write_jsonl(tmp_path / "validation.jsonl", [row])
    config = TrainConfig(task="a/b", dataset="superglue/record", train=train, validation=validation)
    with pytest.raises(DataRejected, match="expected an entity of a query"):
        load_task(config)
