from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prefixes import Prefix
from prefixes.answers import tree_of
from prefixes.backbone import Backbone
from prefixes.spec import Decisions, Hierarchy
from tests.factories import make_spec
from tests.prefixes.facts import BACKBONE
from tests.training.learnable_tasks import (
    make_config,
    sentiment_rows,
    start,
    train_all,
    write_jsonl,
)
from training.data.parts import load_task
from training.errors import PlanRejected
from training.results.finish import finish
from training.tasks.hierarchies import hierarchy_over, level_metrics

LABELS = ("bill/refund", "bill/late", "ship/late")


def test_levels_are_measured_as_by_hand() -> None:
    spec = make_spec(
        BACKBONE, labels=LABELS, decisions=Decisions(hierarchy=Hierarchy.of_labels(LABELS))
    )
    tree = tree_of(spec)
    assert tree is not None
    # In the first row the best label is wrong and its parent right. In the second, the sum of two
    # labels outweighs the best one.
    logits = np.log(np.array([[0.3, 0.5, 0.2], [0.3, 0.3, 0.4], [0.1, 0.1, 0.8]]))
    found = level_metrics(spec, tree, logits, np.array([0, 2, 2]))
    assert found["level_1_accuracy"] == pytest.approx(2 / 3)
    assert found["level_1_macro_f1"] == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert set(found) == {"level_1_accuracy", "level_1_macro_f1"}


def test_levels_of_several_labels_are_measured_as_by_hand() -> None:
    kind = "multi_label_classification"
    rules = Decisions(hierarchy=Hierarchy.of_labels(LABELS))
    spec = make_spec(BACKBONE, labels=LABELS, problem_type=kind, decisions=rules)
    tree = tree_of(spec)
    assert tree is not None
    logits = np.array([[-1.0, 2.0, -1.0], [-1.0, -1.0, 3.0]])
    targets = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    found = level_metrics(spec, tree, logits, targets)
    assert found["level_1_micro_f1"] == pytest.approx(2 / 3)
    assert found["level_1_macro_f1"] == pytest.approx((1 + 0) / 2)


def config_of(tmp_path: Path, **changes: Any) -> Any:
    names = {"good": "mood/good", "bad": "mood/bad"}
    rows = [{**row, "label": names[row["label"]]} for row in sentiment_rows(48)]
    nouns = ("train", "city") * 8
    rows += [{"text": f"where is the {noun}", "label": "question"} for noun in nouns]
    return make_config(write_jsonl(tmp_path / "rows.jsonl", rows), max_steps=12, **changes)


def test_a_trained_file_has_the_hierarchy_and_the_figures_of_its_levels(
    backbone: Backbone, tmp_path: Path
) -> None:
    config = config_of(tmp_path, hierarchy="labels", threshold="precision>=0.99")
    run = start(backbone, config)
    train_all(backbone, [run])
    assert run.best_prefix is not None
    finished = finish(backbone, config, load_task(config), run.best_prefix, tokens_per_batch=500)
    spec = Prefix.from_bytes(finished.data, fits=[backbone.fingerprint]).spec
    assert spec.decisions is not None
    assert spec.decisions.hierarchy is not None
    assert spec.decisions.hierarchy.parents == {"mood/good": "mood", "mood/bad": "mood"}
    assert spec.decisions.thresholds is not None
    levels = [spec.metrics[f"validation_{name}"] for name in ("accuracy", "level_1_accuracy")]
    assert levels[1] >= levels[0]


def test_labels_without_parents_have_no_hierarchy(tmp_path: Path) -> None:
    config = config_of(tmp_path, hierarchy="labels")
    with pytest.raises(PlanRejected, match="no label has a parent"):
        hierarchy_over(config, ("a", "b"))
    given = config_of(tmp_path, hierarchy={"nobody": "mood"})
    with pytest.raises(PlanRejected, match="neither a label nor a parent"):
        hierarchy_over(given, ("a", "b"))
