"""Few-shot heads: their files, how rows and labels are read, and when they are chosen."""

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from prefixes import Prefix
from prefixes.backbone import Backbone
from tests.training.learnable_tasks import pair_rows, sentiment_rows, write_jsonl
from training.errors import DataRejected, PlanRejected
from training.learning.evaluate import predictions
from training.sessions.few_shot_session import fit_plan
from training.sessions.method_choice import ROWS_TO_TRAIN, load_rows
from training.sessions.session import run_plan
from training.sessions.trained import TrainedPrefix
from training.settings.plan import TrainPlan, check_plan


def plan_of(folder: Path, **run: Any) -> TrainPlan:
    runs = [{"task": "acme/mood", **run}]
    return check_plan({"runs": runs, "backbone": str(folder), "device": "cpu"}, origin="a test")


def fit(folder: Path, output: Path, **run: Any) -> TrainedPrefix:
    plan, data = load_rows(plan_of(folder, **run))
    assert plan.is_few_shot
    (trained,) = fit_plan(plan, output, data=data)
    return trained


def test_labels_alone_make_a_file_that_serves(
    backbone: Backbone, backbone_folder: Path, tmp_path: Path
) -> None:
    trained = fit(backbone_folder, tmp_path / "out", labels=["good film", "bad river"])
    prefix = Prefix.load(trained.file, fits=[backbone.fingerprint])
    assert prefix.spec.method == "head"
    assert prefix.spec.labels == ("good film", "bad river")
    assert len(prefix.spec.golden) == 8
    assert prefix.spec.provenance is not None
    assert prefix.spec.provenance.train_rows == 0
    assert prefix.spec.provenance.data_sha256 is None
    assert "discriminant" in str(prefix.spec.provenance.recipe["computed_by"])
    assert set(prefix.spec.metrics) == {"temperature"}
    texts = [{"text": "This text is about good film."}, {"text": "This text is about bad river."}]
    answers = list(predictions(backbone, prefix, texts, tokens_per_batch=100))
    assert [one["label"] for one in answers] == ["good film", "bad river"]
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert report["validation"] is None
    assert not (tmp_path / "out" / "confusion.png").exists()


def test_rows_are_cross_validated_and_all_are_used(backbone_folder: Path, tmp_path: Path) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(14))
    trained = fit(backbone_folder, tmp_path / "out", train=str(rows))
    spec = trained.finished.prefix.spec
    assert spec.labels == ("bad", "good")
    assert spec.provenance is not None
    assert spec.provenance.train_rows == 14
    assert trained.finished.is_cross_validated
    accuracy = spec.metrics["cross_validation_accuracy"]
    assert accuracy == trained.finished.validation.metrics["accuracy"] >= 0.7
    assert sum(count for _, _, count in trained.finished.validation.confusion or []) == 14
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert report["is_cross_validated"] is True
    assert report["data"]["train_rows_by_label"]["good"] > 0


def test_validation_and_test_rows_are_measured_and_not_learned_from(
    backbone_folder: Path, tmp_path: Path
) -> None:
    parts = {
        name: str(write_jsonl(tmp_path / f"{name}.jsonl", sentiment_rows(count, seed=count)))
        for name, count in {"train": 12, "validation": 30, "test": 40}.items()
    }
    trained = fit(backbone_folder, tmp_path / "out", **parts)
    metrics = trained.finished.prefix.spec.metrics
    parts_measured = {name.removesuffix("_accuracy") for name in metrics if "accuracy" in name}
    assert parts_measured == {"validation", "cross_validation", "test"}
    assert not trained.finished.is_cross_validated
    assert sum(count for _, _, count in trained.finished.validation.confusion or []) == 30


def test_rows_of_one_label_are_enough_next_to_the_names(
    backbone_folder: Path, tmp_path: Path
) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", [{"text": "the film is good", "label": "good"}])
    trained = fit(backbone_folder, tmp_path / "out", train=str(rows), labels=["good", "bad"])
    assert trained.finished.prefix.spec.labels == ("good", "bad")
    with pytest.raises(DataRejected, match="expected at least two labels"):
        fit(backbone_folder, tmp_path / "other", train=str(rows), method="few_shot")


def test_feedback_corrects_the_rows(backbone_folder: Path, tmp_path: Path) -> None:
    rows = [
        {"text": "the film is good", "label": "bad"},
        {"text": "the card is bad", "label": "bad"},
    ]
    train = write_jsonl(tmp_path / "rows.jsonl", rows)
    feedback = write_jsonl(
        tmp_path / "feedback.jsonl", [{"text": "The film is good", "label": "good"}]
    )
    trained = fit(backbone_folder, tmp_path / "out", train=str(train), feedback=str(feedback))
    assert trained.finished.prefix.spec.labels == ("bad", "good")
    assert list(trained.data.train.truths) == [0, 1]


def test_thresholds_are_fitted_on_rows_that_are_left_out(
    backbone_folder: Path, tmp_path: Path
) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(14))
    trained = fit(backbone_folder, tmp_path / "out", train=str(rows), threshold="f1")
    decisions = trained.finished.prefix.spec.decisions
    assert decisions is not None
    assert decisions.thresholds is not None
    assert trained.finished.thresholds is not None
    asked = fit(
        backbone_folder, tmp_path / "asked", train=str(rows), threshold="f1", method="few_shot"
    )
    assert asked.finished.thresholds == trained.finished.thresholds
    warning = "Fewer than 20 validation rows have the label"
    assert sum(one.startswith(warning) for one in trained.warnings) == 1
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert report["warnings"] == list(trained.warnings)
    with pytest.raises(PlanRejected, match="threshold needs rows to be fitted on"):
        plan_of(backbone_folder, labels=["good", "bad"], threshold="f1")


def test_thresholds_are_fitted_on_all_windows_of_long_texts(
    backbone: Backbone, backbone_folder: Path, tmp_path: Path
) -> None:
    held_out = [
        {"text": f"{'the train was late . ' * 4}{row['text']}", "label": row["label"]}
        for row in sentiment_rows(30, seed=1)
    ]
    parts = {
        "train": str(write_jsonl(tmp_path / "train.jsonl", sentiment_rows(14))),
        "validation": str(write_jsonl(tmp_path / "validation.jsonl", held_out)),
    }
    windows = {"long_texts": "windows", "stride": 2, "max_length": 12}
    trained = fit(backbone_folder, tmp_path / "out", threshold="f1", **parts, **windows)
    inputs = [{"text": row["text"]} for row in held_out]
    answers = predictions(backbone, trained.finished.prefix, inputs, tokens_per_batch=100)
    found = [answer["label"] for answer in answers]
    assert trained.finished.thresholds is not None
    for one in trained.finished.thresholds.labels:
        truths = [
            label for label, row in zip(found, held_out, strict=True) if row["label"] == one.label
        ]
        assert one.recall == pytest.approx(truths.count(one.label) / len(truths))
        assert one.precision == pytest.approx(truths.count(one.label) / found.count(one.label))


def test_rows_that_are_left_out_are_read_in_windows_as_they_are_served(
    backbone_folder: Path, tmp_path: Path
) -> None:
    praise, blame = "the film is good . ", "the film is bad . "
    changed = [{"text": praise * 2 + blame * 12, "label": "bad"}] * 3
    changed += [{"text": blame * 2 + praise * 12, "label": "good"}] * 3
    rows = write_jsonl(tmp_path / "rows.jsonl", [*sentiment_rows(30), *changed])
    settings = {"train": str(rows), "max_length": 12, "method": "few_shot"}
    truncated = fit(backbone_folder, tmp_path / "truncated", **settings)
    windows = fit(backbone_folder, tmp_path / "windows", long_texts="windows", stride=2, **settings)
    right = [
        round(36 * one.finished.validation.metrics["accuracy"]) for one in (truncated, windows)
    ]
    assert right[1] >= right[0] + 3
    assert windows.finished.temperature != truncated.finished.temperature


PARTS = {"film": "a very good film", "train": "the train was late", "card": "my card was lost"}


def tagged_rows(*, repeats: int) -> list[dict[str, Any]]:
    """Texts of one to three sentences, each with the labels of all of its sentences."""
    subsets = [list(some) for size in (1, 2, 3) for some in combinations(PARTS, size)]
    return [
        {"text": " . ".join(PARTS[name] for name in some), "label": some}
        for some in subsets * repeats
    ]


def test_several_labels_per_text_have_a_head_and_thresholds(
    backbone: Backbone, backbone_folder: Path, tmp_path: Path
) -> None:
    several = {"method": "few_shot", "problem_type": "multi_label_classification"}
    rows = write_jsonl(tmp_path / "rows.jsonl", tagged_rows(repeats=4))
    trained = fit(backbone_folder, tmp_path / "out", train=str(rows), threshold="f1", **several)
    spec = trained.finished.prefix.spec
    assert spec.problem_type == "multi_label_classification"
    assert spec.thresholds is not None
    assert spec.metrics["cross_validation_micro_f1"] > 0.9
    texts = [{"text": row["text"]} for row in tagged_rows(repeats=1)]
    answers = predictions(backbone, trained.finished.prefix, texts, tokens_per_batch=100)
    found = [sorted(answer["labels"]) for answer in answers]
    assert found == [sorted(row["label"]) for row in tagged_rows(repeats=1)]


def test_the_names_of_several_labels_make_a_file_that_serves(
    backbone: Backbone, backbone_folder: Path, tmp_path: Path
) -> None:
    labels = ["good film", "bad river", "late train"]
    trained = fit(
        backbone_folder,
        tmp_path / "out",
        labels=labels,
        problem_type="multi_label_classification",
    )
    prefix = Prefix.load(trained.file, fits=[backbone.fingerprint])
    texts = [{"text": f"This text is about {label}."} for label in labels]
    for label, answer in zip(
        labels, predictions(backbone, prefix, texts, tokens_per_batch=100), strict=True
    ):
        assert max(answer["scores"], key=answer["scores"].__getitem__) == label


def test_pairs_are_read_by_their_template(backbone_folder: Path, tmp_path: Path) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", pair_rows(12))
    trained = fit(backbone_folder, tmp_path / "out", train=str(rows))
    assert trained.finished.prefix.spec.input.fields == ("text_a", "text_b")


def test_the_same_rows_give_the_same_head(backbone_folder: Path, tmp_path: Path) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(14))
    one, other = (
        fit(backbone_folder, tmp_path / name, train=str(rows)).finished.prefix.tensors
        for name in ("one", "other")
    )
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_the_head_reads_the_features_that_were_fitted(
    backbone: Backbone, backbone_folder: Path, tmp_path: Path
) -> None:
    rows = sentiment_rows(14)
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    trained = fit(backbone_folder, tmp_path / "out", train=str(path), template="query: {text}")
    inputs = [{"text": row["text"]} for row in rows]
    answers = predictions(backbone, trained.finished.prefix, inputs, tokens_per_batch=100)
    scores = [sum(one["scores"].values()) for one in answers]
    assert_allclose(scores, 1.0, atol=1e-9)


@pytest.mark.parametrize(
    ("labels", "warning"),
    [
        pytest.param(
            ["good", "GOOD "], "are the same to the backbone: 'good' and 'GOOD '", id="same"
        ),
        pytest.param(["good", "退款"], "cannot read, because its vocabulary lacks", id="unknown"),
    ],
)
def test_names_that_the_backbone_cannot_use_are_named(
    labels: list[str], warning: str, backbone_folder: Path, tmp_path: Path
) -> None:
    trained = fit(backbone_folder, tmp_path / "out", labels=labels)
    assert warning in " ".join(trained.warnings)


def test_a_description_replaces_the_name(backbone_folder: Path, tmp_path: Path) -> None:
    labels = ["one", "two"]
    plain = fit(backbone_folder, tmp_path / "plain", labels=labels)
    described = fit(
        backbone_folder, tmp_path / "out", labels=labels, label_descriptions={"one": "a good film"}
    )
    weights = [one.finished.prefix.tensors["head.output.weight"] for one in (plain, described)]
    assert not np.allclose(weights[0][0], weights[1][0])
    directions = [one[1] / np.linalg.norm(one[1]) for one in weights]
    assert_allclose(directions[0], directions[1], atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        pytest.param({"labels": ["one"]}, "expected at least two, found one", id="one"),
        pytest.param({"labels": ["one", "one"]}, "'one' occurs more than once", id="twice"),
        pytest.param({"labels": ["one", " "]}, "found a blank one", id="blank"),
        pytest.param({"labels": ["one", ""]}, "at least 1 character", id="empty"),
        pytest.param({"method": "few_shot"}, "needs labels or training rows", id="nothing"),
        pytest.param({"labels": ["a", "b"], "method": "prefix"}, "no training rows", id="prefix"),
        pytest.param(
            {"labels": ["a", "b"], "problem_type": "regression"},
            "regression",
            id="labels-of-numbers",
        ),
        pytest.param(
            {"labels": ["a", "b"], "class_weights": "balanced"},
            "class_weights does not apply to method 'few_shot'",
            id="class-weights",
        ),
        pytest.param(
            {"train": "rows.csv", "method": "few_shot", "reject": 0.9},
            "reject does not apply to method 'few_shot'",
            id="reject",
        ),
        pytest.param(
            {"labels": ["a", "b"], "prefix_length": 4},
            "prefix_length applies only to a prefix",
            id="prefix-length",
        ),
        pytest.param(
            {"labels": ["spam", "ham"], "label_descriptions": {"spma": "x"}},
            "'spma' is not one of the labels; did you mean 'spam'?",
            id="unknown-description",
        ),
        pytest.param(
            {"train": "rows.csv", "label_descriptions": {"a": "x"}},
            "label_descriptions need labels",
            id="descriptions-alone",
        ),
        pytest.param(
            {"train": "rows.csv", "method": "few_shot", "problem_type": "regression"},
            "supports only single_label_classification and multi_label_classification, not",
            id="regression",
        ),
    ],
)
def test_settings_that_do_not_fit_are_rejected(
    settings: dict[str, Any], problem: str, backbone_folder: Path
) -> None:
    with pytest.raises(PlanRejected) as caught:
        plan_of(backbone_folder, **settings)
    assert problem in str(caught.value)


def test_a_label_of_a_row_that_is_not_listed_is_named(
    backbone_folder: Path, tmp_path: Path
) -> None:
    rows = [{"text": "the film is good", "label": "god"}]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    with pytest.raises(DataRejected, match="the label 'god' is not one of the task's labels"):
        fit(backbone_folder, tmp_path / "out", train=str(path), labels=["good", "bad"])


# The choice between a few-shot head and training


def balanced_rows(count: int) -> list[dict[str, Any]]:
    return [
        {"text": f"the film {number} is {'good' if number % 2 else 'bad'}", "label": number % 2}
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("count", "settings", "method"),
    [
        pytest.param(2 * ROWS_TO_TRAIN - 1, {}, "few_shot", id="few"),
        pytest.param(2 * ROWS_TO_TRAIN, {}, "vectors", id="enough"),
        pytest.param(10, {"method": "prefix"}, "prefix", id="few-but-told"),
        pytest.param(10, {"epochs": 2}, "vectors", id="few-with-a-recipe"),
        pytest.param(10, {"reject": 0.9}, "vectors", id="few-with-a-rejection"),
        pytest.param(
            10, {"max_steps": 100, "seed": 3, "max_length": 32}, "few_shot", id="few-limited"
        ),
        pytest.param(10, {"problem_type": "multi_label_classification"}, "vectors", id="several"),
        pytest.param(2 * ROWS_TO_TRAIN, {"method": "few_shot"}, "few_shot", id="enough-but-told"),
    ],
)
def test_few_rows_get_a_few_shot_head_unless_told_otherwise(
    count: int, settings: dict[str, Any], method: str, backbone_folder: Path, tmp_path: Path
) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", balanced_rows(count))
    plan, (data,) = load_rows(plan_of(backbone_folder, train=str(rows), **settings))
    assert plan.runs[0].method == method
    assert len(data.train) == count if method == "few_shot" else len(data.train) < count
    if method == "few_shot":
        assert plan.runs[0].prefix_length == 0


def test_several_tasks_and_sweeps_are_trained(backbone_folder: Path, tmp_path: Path) -> None:
    rows = str(write_jsonl(tmp_path / "rows.jsonl", balanced_rows(10)))
    runs = [{"task": f"acme/{name}", "train": rows} for name in ("one", "two")]
    place = {"backbone": str(backbone_folder), "device": "cpu"}
    several = check_plan({"runs": runs, **place}, origin="a test")
    assert not load_rows(several)[0].is_few_shot
    sweep = {"space": {"epochs": (1, 2)}, "trials": 2}
    with pytest.raises(PlanRejected, match="without \\[sweep\\]"):
        check_plan(
            {"runs": [{**runs[0], "method": "few_shot"}], "sweep": sweep, **place}, origin=""
        )


@pytest.mark.parametrize(("method", "function"), [("few_shot", "fit_plan"), ("full", "tune_plan")])
def test_run_plan_names_the_function_for_other_methods(
    method: str, function: str, backbone_folder: Path, tmp_path: Path
) -> None:
    rows = str(write_jsonl(tmp_path / "rows.jsonl", balanced_rows(10)))
    plan = plan_of(backbone_folder, train=rows, method=method)
    with pytest.raises(PlanRejected, match=f"method '{method}': call {function}"):
        run_plan(plan, tmp_path / "out", watch=lambda _: None)


def test_a_head_from_few_rows_trains_further(
    backbone: Backbone, backbone_folder: Path, tmp_path: Path
) -> None:
    few = write_jsonl(tmp_path / "few.jsonl", sentiment_rows(12))
    rows = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(64, seed=1))
    first = fit(backbone_folder, tmp_path / "first", train=str(few))
    settings = {"method": "head", "start_from": str(first.file), "max_steps": 1, "min_steps": 1}
    plan = plan_of(backbone_folder, train=str(rows), learning_rate=1e-9, **settings)
    plan = plan.model_copy(
        update={"runs": (plan.runs[0].model_copy(update={"head_learning_rate": 1e-9}),)}
    )
    (trained,) = run_plan(plan, tmp_path / "out", watch=lambda _: None)
    before, after = (one.finished.prefix.tensors["head.output.weight"] for one in (first, trained))
    assert trained.finished.temperature is not None
    assert_allclose(after * trained.finished.temperature, before, rtol=1e-3, atol=1e-5)
