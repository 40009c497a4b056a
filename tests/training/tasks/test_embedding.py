"""Embedding: pairs of texts that belong together, told from those that do not."""

from pathlib import Path
from typing import Final

import numpy as np
import pytest
from pydantic import ValidationError

from prefixes.backbone import Backbone
from tests.training.learnable_tasks import make_config, partner_rows, start, train_all, write_jsonl
from training.data.parts import load_task
from training.errors import DataRejected
from training.learning.learner import describe
from training.tasks.embedding import partner_ranks

TASK_TYPE: Final = "embedding"


@pytest.mark.parametrize(
    "columns",
    [
        pytest.param(("text", "positive"), id="text-and-positive"),
        pytest.param(("text_a", "text_b"), id="a-and-b"),
        pytest.param(("asked", "faq"), id="named"),
    ],
)
def test_pairs_stand_in_their_usual_columns_or_those_named(
    tmp_path: Path, columns: tuple[str, str]
) -> None:
    first, second = columns
    rows = [{first: f"text {n}", second: f"partner {n}"} for n in range(3)]
    named = {"text_column": first, "pair_column": second} if first == "asked" else {}
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    data = load_task(make_config(path, task_type=TASK_TYPE, validation=path, **named))
    assert data.train.inputs[1] == {"text": "text 1"}
    assert data.train.truths[1] == "partner 1"


def test_both_texts_go_through_the_template(backbone: Backbone, tmp_path: Path) -> None:
    rows = [{"text": f"film {word}", "positive": f"plot {word}"} for word in ("a", "b", "c", "d")]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    run = start(backbone, make_config(path, task_type=TASK_TYPE, template="what: {text}"))
    lengths = {len(text.token_ids) for piece in run.pieces for text in piece.texts}
    assert lengths == {6}  # [CLS] what : film a [SEP]
    assert all(len(piece.texts) == 2 for piece in run.pieces)


def test_an_embedding_has_the_length_one_and_no_layer_unless_asked(
    backbone: Backbone, tmp_path: Path
) -> None:
    rows = [{"text": f"film {n}", "positive": f"plot {n}"} for n in range(4)]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    bare = make_config(path, task_type=TASK_TYPE)
    dense = make_config(path, task_type=TASK_TYPE, head_activation="tanh")
    spec = describe(bare, load_task(bare), backbone)
    assert (spec.head.pooling, spec.head.normalize, spec.head.activation) == ("mean", True, None)
    assert start(backbone, bare).learner.head_parameters() == []
    assert len(start(backbone, dense).learner.head_parameters()) == 2


def test_partners_are_ranked_among_all_other_texts() -> None:
    left = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    right = np.array([[0.9, 0.1], [0.5, 0.5], [0.1, 0.2]], dtype=np.float32)
    assert partner_ranks(left, right, ["a", "b", "c"]).tolist() == [1, 2, 2]


def test_a_partner_of_several_texts_is_no_rival_of_itself() -> None:
    left = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    # The same text twice, computed a hair apart in two batches.
    right = np.array([[0.5, 0], [0.5000001, 0], [0.4, 1]], dtype=np.float32)
    assert partner_ranks(left, right, ["same", "same", "other"]).tolist() == [1, 1, 1]


def test_everything_wrong_with_rows_is_told(tmp_path: Path) -> None:
    path = write_jsonl(
        tmp_path / "rows.jsonl",
        [{"text": "a", "positive": "b"}, {"text": "a"}, {"text": "", "positive": 3}],
    )
    with pytest.raises(DataRejected) as caught:
        load_task(make_config(path, task_type=TASK_TYPE))
    absent = (
        "is missing; give every row a value, or name another column with text_column or pair_column"
    )
    assert [(one.line, one.message) for one in caught.value.problems] == [
        (3, "'text': expected text, found an empty text"),
        (2, f"'positive': {absent}, found only the columns text"),
        (3, "'positive': expected text, found 3"),
    ]


def test_rows_that_all_have_one_partner_are_refused(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", [{"text": str(n), "positive": "x"} for n in (1, 2)])
    with pytest.raises(DataRejected, match="the same second text"):
        load_task(make_config(path, task_type=TASK_TYPE))


def test_embeddings_of_any_length_learn_by_their_products(
    backbone: Backbone, tmp_path: Path
) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", partner_rows(40))
    config = make_config(path, task_type="embedding", normalize=False, max_steps=6)
    run = start(backbone, config)

    train_all(backbone, [run])

    assert run.best_prefix is not None
    assert not run.best_prefix.spec.head.normalize
    assert run.losses[-1] < run.losses[0]


def test_nothing_but_an_embedding_is_normalized(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="normalize applies only to embedding"):
        make_config(tmp_path / "rows.jsonl", normalize=True)
