"""Warnings about entities and answers that no prefix can find, because tokens do not match them."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from prefixes import Prefix
from prefixes.backbone import Backbone
from tests.training.learnable_tasks import make_config, start, tagged_rows, write_jsonl
from training.data.parts import load_examples
from training.examples import Columns
from training.learning.evaluate import as_learned
from training.learning.run import Run
from training.service.live_comparison import train_and_compare
from training.sessions.session import run_plan
from training.settings.plan import TrainPlan
from training.tasks.tags import Mention

KIND: Final = "token_classification"


def row(text: str, *spans: tuple[int, int]) -> dict[str, Any]:
    return {
        "text": text,
        "entities": [{"start": start, "end": end, "label": "x"} for start, end in spans],
    }


def run_on(backbone: Backbone, path: Path, **changes: Any) -> Run:
    fields = {"task_type": KIND, "validation": path, **changes}
    return start(backbone, make_config(path, **fields))


def alignment_warnings_of(run: Run) -> list[str]:
    return [one for one in run.warnings if "begin or end" in one]


def perfect_f1(run: Run) -> float:
    """Measure a tagger that gives every token its target."""
    held_out = run.rows.held_out
    outputs = [
        [np.eye(len(run.spec.labels), dtype=np.float32)[np.maximum(piece.target.numpy(), 0)]]
        for piece in held_out.pieces
    ]
    measured = run.definition.measure(run.spec, held_out.examples, held_out.encoded, outputs)
    return measured.metrics["entity_f1"]


ROWS: Final = [
    row("the city river now", (4, 14)),
    row("the city river now", (5, 14)),  # off by one
    row("the city-river now", (4, 11)),  # within the second word
    row("the xylo film", (4, 8), (9, 12)),
]


def test_entities_that_end_inside_a_word_are_counted_before_training(
    backbone: Backbone, tmp_path: Path
) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", ROWS)
    held_out = write_jsonl(tmp_path / "held.jsonl", [row("a city", (3, 6)), row("a film", (2, 6))])
    run = run_on(backbone, path, validation=held_out)
    first, second = alignment_warnings_of(run)
    assert first == (
        "rows.jsonl: 3 of 5 entities begin or end inside a word, at lines 2, 3, 4, such as "
        "'ity river' in 'city river': only whole words are found, so these count as wrong. Correct "
        "start and end, or set snap_to_words to extend them to whole words"
    )
    assert second.startswith("held.jsonl: 1 of 2 entities begin or end inside a word, at line 1,")
    assert perfect_f1(run) == 0.5


def test_rows_that_are_split_off_are_reported_with_the_file_they_are_from(
    backbone: Backbone, tmp_path: Path
) -> None:
    rows = [row(f"the {'very ' * n}city now", (5 + 5 * n, 8 + 5 * n)) for n in range(6)]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    (warning,) = alignment_warnings_of(
        run_on(backbone, path, validation=None, validation_fraction=0.5)
    )
    assert warning.startswith(
        "rows.jsonl: 6 of 6 entities begin or end inside a word, at lines 1, 2"
    )


def test_characters_that_the_tokenizer_drops_are_no_part_of_an_entity(
    backbone: Backbone, tmp_path: Path
) -> None:
    rows = [row("the city\u200b now", (4, 9)), row("the \u200b\x02 film", (4, 6), (7, 11))]
    (warning,) = alignment_warnings_of(run_on(backbone, write_jsonl(tmp_path / "rows.jsonl", rows)))
    assert warning.startswith(
        "rows.jsonl: 2 of 3 entities begin or end with characters that the tokenizer drops, "
        "at lines 1, 2, such as 'city\\u200b': "
    )


def test_blanks_at_an_end_are_left_out_with_a_warning(backbone: Backbone, tmp_path: Path) -> None:
    rows = [row("the city now", (3, 8)), row("the city now", (4, 9)), row("a film", (2, 6))]
    run = run_on(backbone, write_jsonl(tmp_path / "rows.jsonl", rows))
    assert run.warnings[0] == (
        "rows.jsonl: 2 entities have white space at an end, which is removed, at lines 1, 2"
    )
    assert alignment_warnings_of(run) == []
    assert perfect_f1(run) == 1.0


def test_tags_of_tokens_and_what_truncation_cuts_off_are_not_unaligned(
    backbone: Backbone, tmp_path: Path
) -> None:
    rows = [*tagged_rows(10), {"tokens": ["the", "xylo-film"] * 20, "tags": ["O", "B-topic"] * 20}]
    run = run_on(backbone, write_jsonl(tmp_path / "rows.jsonl", rows), max_length=12)
    assert alignment_warnings_of(run) == []
    assert any("cut off" in one for one in run.warnings)


def test_entities_are_snapped_to_whole_words_where_that_is_asked_for(
    backbone: Backbone, tmp_path: Path
) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", ROWS)
    run = run_on(backbone, path, snap_to_words=True)
    assert alignment_warnings_of(run) == []
    assert "rows.jsonl: 3 entities were extended to whole words, at lines 2, 3, 4" in run.warnings
    assert tuple(run.rows.data.train.truths)[1:] == (
        (Mention(4, 14, "x"),),
        (Mention(4, 14, "x"),),
        (Mention(4, 8, "x"), Mention(9, 13, "x")),
    )
    assert perfect_f1(run) == 1.0


def test_of_entities_that_share_a_word_once_snapped_the_first_stays(
    backbone: Backbone, tmp_path: Path
) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", [row("the film now", (4, 6), (6, 8))])
    run = run_on(backbone, path, snap_to_words=True)
    assert run.rows.data.train.truths == ((Mention(4, 8, "x"),),)


def test_warnings_about_tokens_come_before_the_first_step_and_stand_in_the_outcome(
    backbone_folder: Path, backbone: Backbone, tmp_path: Path
) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", ROWS)
    told: list[tuple[int, tuple[str, ...]]] = []
    config = make_config(path, task_type=KIND, validation=path, max_steps=2)
    plan = {"backbone": str(backbone_folder), "device": "cpu"}
    outcome = train_and_compare(
        {**plan, "runs": [config.model_dump(mode="json", exclude_unset=True)]},
        tmp_path / "out",
        live=None,
        seconds_between_checkpoints=60.0,
        watch=lambda runs: told.append((runs[0].step, runs[0].warnings)),
        describe=lambda _: None,
        warn=lambda _: None,
    )
    step, warnings = told[0]
    (warning,) = (one for one in warnings if "inside a word" in one)
    assert step == 0
    assert warning in outcome.warnings


def test_a_snapped_prefix_is_evaluated_on_snapped_rows(
    backbone_folder: Path, backbone: Backbone, tmp_path: Path
) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", ROWS)
    config = make_config(path, task_type=KIND, validation=path, max_steps=1, snap_to_words=True)
    plan = TrainPlan(runs=(config,), backbone=str(backbone_folder), device="cpu")
    (trained,) = run_plan(plan, tmp_path / "out", watch=lambda _: None)
    prefix = Prefix.load(trained.file, fits=[backbone.fingerprint])
    written = load_examples(path, prefix.spec, Columns())
    assert written.truths != trained.data.train.truths
    assert as_learned(backbone, prefix, written).truths == trained.data.train.truths


def test_answers_that_end_inside_a_token_are_counted(backbone: Backbone, tmp_path: Path) -> None:
    def asked(text: str, start: int) -> dict[str, Any]:
        answers = {"text": [text], "answer_start": [start]}
        return {"question": "what", "context": "the city river now", "answers": answers}

    rows = [asked("city", 4), asked("ity", 5), asked("riv", 9)]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    (warning,) = alignment_warnings_of(
        run_on(backbone, path, task_type="question_answering", stride=4)
    )
    assert warning.startswith(
        "rows.jsonl: 2 of 3 answers begin or end inside a token, at lines 2, 3, such as 'ity' in "
        "'city': only whole tokens are found"
    )


@pytest.mark.parametrize("task_type", ["sequence_classification", "embedding"])
def test_only_entities_are_snapped(tmp_path: Path, task_type: str) -> None:
    with pytest.raises(ValueError, match="snap_to_words applies only to token_classification"):
        make_config(tmp_path / "rows.jsonl", task_type=task_type, snap_to_words=True)
