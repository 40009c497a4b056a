"""The summary of a training's data: one sentence per part, with the use of each column."""

import io
from pathlib import Path
from typing import Any, Final

import pytest
from rich.console import Console

from prefixes.backbone import Backbone
from server.command_line.progress_bars import TrainingProgress
from tests.training.learnable_tasks import (
    ROWS_OF,
    make_config,
    pair_rows,
    question_rows,
    sentiment_rows,
    start,
    tagged_rows,
    write_csv,
    write_jsonl,
)
from training.data.parts import load_task
from training.datasets import dataset_named

MULTI: Final = {"problem_type": "multi_label_classification"}


def summary_of(path: Path, **changes: Any) -> tuple[str, ...]:
    return load_task(make_config(path, **{"validation": path, **changes})).summary


def roles_of(path: Path, **changes: Any) -> list[str]:
    """Give what the columns of the training rows were taken for."""
    return summary_of(path, **changes)[0].split("; ")[1:]


ROLES: Final = {
    "sequence_classification": [
        "text from column 'text'",
        "one label per row from column 'label' (2 labels: 'bad', 'good')",
    ],
    "multiple_choice": [
        "text from column 'text'",
        "choices from column 'choices'",
        "number of the right choice, from 0, from column 'label'",
    ],
    "token_classification": [
        "tokens from column 'tokens'",
        "a tag each from column 'tags'",
        "2 entity types: 'praise', 'topic'",
    ],
    "question_answering": [
        "question from column 'question'",
        "context from column 'context'",
        "answers from column 'answers' (0 of 30 questions have none)",
    ],
    "embedding": [
        "text from column 'text'",
        "a text that belongs with it from column 'positive'",
    ],
}


@pytest.mark.parametrize("task_type", ROWS_OF)
def test_columns_of_each_task_type_are_named_with_what_they_are(
    tmp_path: Path, task_type: str
) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", ROWS_OF[task_type](30))
    assert summary_of(path, task_type=task_type) == tuple(
        "; ".join([f"{part}: 30 rows of rows.jsonl", *ROLES[task_type]])
        for part in ("train", "validation")
    )


def test_every_part_has_a_sentence_with_the_rows_that_are_used(tmp_path: Path) -> None:
    rows = [{"text": f"text {n}", "label": "good" if n % 2 else "bad"} for n in range(2000)]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    one = write_csv(tmp_path / "one.csv", [{"text": "the film is good", "label": "good"}])
    parts = summary_of(path, validation=None, validation_fraction=0.25, max_rows=500, test=one)
    assert [sentence.partition(";")[0] for sentence in parts] == [
        "train: 500 of 2,000 rows of rows.jsonl",
        "validation: 500 of 2,000 rows of rows.jsonl",
        "test: 1 row of one.csv",
    ]
    assert "(1 label: 'good')" in parts[2]


def test_pairs_and_columns_of_other_names_are_named(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", pair_rows(30))
    assert roles_of(path)[:2] == [
        "text from column 'text_a'",
        "paired text from column 'text_b'",
    ]
    named = write_jsonl(tmp_path / "named.jsonl", [{"q": "a film", "kind": n} for n in range(9)])
    assert roles_of(named, text_column="q", label_column="kind") == [
        "text from column 'q'",
        "one label per row from column 'kind' (9 labels: '0', '1', '2' and 6 more)",
    ]
    template = {"template": "{text_b} {text_a}"}
    assert roles_of(path, **template)[0] == "text from columns 'text_b', 'text_a'"


def test_numbers_are_given_with_their_range(tmp_path: Path) -> None:
    rows = [{"text": f"text {n}", "label": 1.5 * n} for n in range(5)]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    number = "a number per row from column 'label' (regression, 0 to 6)"
    assert roles_of(path, problem_type="regression")[1] == number


@pytest.mark.parametrize(
    ("cells", "changes", "expected"),
    [
        ([["a"], ["b", "a"]], {}, "from column 'label', as a list"),
        (["['a']", "['b', 'a']"], {}, "from column 'label', as a list"),
        (["a", "b|a"], {}, "from column 'label', separated by '|'"),
        (["a", "b;a"], {"label_separator": ";"}, "from column 'label', separated by ';'"),
        (["a|b", ["a"]], {}, "from column 'label', separated by '|' or as a list"),
        (
            [[1, 0], [1, 1]],
            {"labels": ("a", "b")},
            "from column 'label', a zero or one for each label",
        ),
    ],
)
def test_several_labels_are_given_with_what_separates_them(
    tmp_path: Path, cells: list[Any], changes: dict[str, Any], expected: str
) -> None:
    rows = [{"text": f"text {n} {cell}", "label": cell} for n in range(4) for cell in cells]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    labels = "(2 labels: 'a', 'b')"
    assert roles_of(path, **MULTI, **changes)[1] == f"several labels per row {expected} {labels}"


def test_a_column_for_each_label_is_named(tmp_path: Path) -> None:
    rows = [{"text": f"text {n}", "sad": n % 2, "glad": int(n < 3)} for n in range(6)]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    assert roles_of(path, **MULTI, label_columns=("sad", "glad"))[1] == (
        "several labels per row, a zero or one each from columns 'sad', 'glad' "
        "(2 labels: 'sad', 'glad')"
    )


def test_tokens_that_have_a_row_or_line_each_are_counted_as_texts(tmp_path: Path) -> None:
    cells = [
        {"Sentence #": number, "Word": token, "Tag": tag}
        for number, row in enumerate(tagged_rows(12))
        for token, tag in zip(row["tokens"], row["tags"], strict=True)
    ]
    tagging = {"task_type": "token_classification"}
    types = "2 entity types: 'praise', 'topic'"
    assert summary_of(write_csv(tmp_path / "rows.csv", cells), **tagging)[0] == (
        "train: 12 texts of rows.csv; a token per row from column 'Word'; "
        f"a tag each from column 'Tag'; texts separated by column 'Sentence #'; {types}"
    )
    conll = tmp_path / "rows.conll"
    conll.write_text("the O\nfilm B-topic\n\nis O\ngreat B-praise\n", encoding="utf-8")
    assert summary_of(conll, **tagging)[0] == (
        "train: 2 texts of rows.conll; a token per line from the first column; "
        f"a tag each from the last; {types}"
    )


def test_entities_are_named_next_to_tags_where_a_file_has_both(tmp_path: Path) -> None:
    entity = {"start": 4, "end": 8, "label": "topic"}
    found: list[list[Any]] = [[entity], []]
    rows = [{"text": "the film", "entities": entities} for entities in found]
    tagging = {"task_type": "token_classification"}
    written = ["text from column 'text'", "entities from column 'entities'"]
    alone = write_jsonl(tmp_path / "alone.jsonl", rows)
    assert roles_of(alone, **tagging) == [*written, "1 entity type: 'topic'"]
    mixed = write_jsonl(tmp_path / "mixed.jsonl", [*rows, *tagged_rows(8)])
    assert roles_of(mixed, **tagging) == [
        "tokens from column 'tokens'",
        "a tag each from column 'tags'",
        *written,
        "2 entity types: 'praise', 'topic'",
    ]


def test_questions_without_an_answer_are_counted(tmp_path: Path) -> None:
    rows = question_rows(6)
    rows[2]["answers"] = {"text": [], "answer_start": []}
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    answers = roles_of(path, task_type="question_answering")[2]
    assert answers == "answers from column 'answers' (1 of 6 questions have none)"


def test_rows_of_a_published_set_are_said_to_be_so(tmp_path: Path) -> None:
    rows = [
        {"premise": f"text {n}", "hypothesis": "text", "label": "not_entailment" if n % 2 else 0}
        for n in range(6)
    ]
    path = write_jsonl(tmp_path / "train.jsonl", rows)
    first, *_ = summary_of(path, dataset="superglue/rte", **dataset_named("superglue/rte").defaults)
    assert first == (
        "train: 6 rows of train.jsonl, read as superglue/rte; text from column 'premise'; paired "
        "text from column 'hypothesis'; "
        "one label per row from column 'label' (2 labels: 'entailment', 'not_entailment')"
    )


def test_rows_with_any_column_names_are_described_before_training(
    backbone: Backbone, tmp_path: Path
) -> None:
    names = {"good": "[/red]", "bad": ":cat: [bold]"}
    rows = [{"t": row["text"], "[/b]": names[row["label"]]} for row in sentiment_rows(30)]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    run = start(backbone, make_config(path, validation=path, text_column="t", label_column="[/b]"))
    printed = io.StringIO()
    with TrainingProgress(Console(file=printed, width=40)) as progress:
        progress.show([run])
    lines = printed.getvalue().splitlines()
    assert lines[0] == (
        "train: 30 rows of rows.jsonl; text from column 't'; one label per row from column '[/b]' "
        "(2 labels: ':cat: [bold]', '[/red]')"
    )
    assert lines[: len(run.rows.data.summary)] == list(run.rows.data.summary)
    assert lines[-len(run.warnings) :] == list(run.warnings)
