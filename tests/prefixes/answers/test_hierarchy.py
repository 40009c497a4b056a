from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from prefixes import PrefixSpec
from prefixes.answers import (
    Decision,
    RuleOptions,
    check_labels,
    decide,
    is_within,
    rules_of,
    scored_logits,
    scored_names,
    sigmoid,
    softmax,
    tree_of,
)
from prefixes.errors import InvalidRules, UnknownLabel
from prefixes.spec import AnswerRules, Decisions, Hierarchy
from tests.factories import make_spec
from tests.prefixes.facts import BACKBONE

LABELS = ("bill/refund", "bill/late", "ship/late", "ship/lost", "other")
PLAIN = ("refund", "fee", "late", "lost", "other")
PARENTS = {"refund": "bill", "fee": "bill", "late": "ship", "lost": "ship", "bill": "money"}


def task(labels: tuple[str, ...] = LABELS, **rules: Any) -> PrefixSpec:
    rules = {"hierarchy": Hierarchy.of_labels(labels), **rules}
    return make_spec(BACKBONE, labels=labels, decisions=Decisions(**rules))


def several(**changes: Any) -> PrefixSpec:
    kind = "multi_label_classification"
    rules = Decisions(hierarchy=Hierarchy.of_labels(LABELS))
    return make_spec(BACKBONE, labels=LABELS, problem_type=kind, decisions=rules, **changes)


def logits(*probabilities: float) -> Any:
    return np.log(np.array(probabilities))


def decided(
    spec: PrefixSpec, values: Any, *overrides: AnswerRules | None, level: int | None = None
) -> Decision:
    return decide(spec, values, rules_of(spec, *overrides, level=level))


def test_labels_are_split_at_slashes_between_names() -> None:
    found = Hierarchy.of_labels(("a/b/c", "a/d", "/x", "y/", "e//f", "n", "/"))
    assert found is not None
    assert found.parents == {"a/b/c": "a/b", "a/b": "a", "a/d": "a", "e//f": "e"}
    assert Hierarchy.of_labels(("a", "b/", "/c")) is None


def test_a_given_tree_has_levels_of_any_depth() -> None:
    tree = tree_of(task(PLAIN, hierarchy=Hierarchy(parents=PARENTS)))
    assert tree is not None
    assert [level.names for level in tree.levels] == [
        ("money", "ship", "other"),
        ("bill", "late", "lost", "other"),
        ("refund", "fee", "late", "lost", "other"),
    ]
    assert tree.paths["fee"] == ("money", "bill", "fee")


@pytest.mark.parametrize(
    ("parents", "message"),
    [
        ({}, "at least 1"),
        ({"nobody": "bill"}, "neither a label nor a parent"),
        ({"refund": "bill", "bill": "refund"}, "a circle above it"),
        ({"refund": "refund"}, "a circle above it"),
        ({f"n{n}": f"n{n + 1}" for n in range(12)} | {"refund": "n0"}, "more than 10 levels"),
    ],
)
def test_parents_that_are_no_tree_are_rejected(parents: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        task(PLAIN, hierarchy=Hierarchy(parents=parents))


def test_the_probability_of_a_parent_is_the_sum_of_its_leaves() -> None:
    spec, values = task(), logits(0.3, 0.25, 0.2, 0.15, 0.1)
    rules = rules_of(spec, level=1)
    assert scored_names(spec, rules) == ("bill", "ship", "other")
    assert softmax(scored_logits(spec, values, rules)) == pytest.approx([0.55, 0.35, 0.1])
    # Also of logits that would overflow, and without a file's hierarchy.
    huge = scored_logits(spec, np.array([3e4, 3e4, -3e4, 0, 0], dtype=np.float32), rules)
    assert softmax(huge).tolist() == [1.0, 0.0, 0.0]
    bare = make_spec(BACKBONE, labels=LABELS)
    assert scored_names(bare, rules_of(bare, level=1)) == ("bill", "ship", "other")


def test_the_answer_of_a_level_has_its_path() -> None:
    values = logits(0.1, 0.2, 0.25, 0.25, 0.2)
    assert decided(task(), values) == Decision(
        label="ship/late", abstained=False, path=("ship", "ship/late"), level=2
    )
    assert decided(task(), values, level=1).label == "ship"
    assert decided(task(), values, level=1).path == ("ship",)
    other = logits(0.1, 0.1, 0.1, 0.1, 0.6)
    for level in (None, 1, 2, 9):  # a label at the top stands for itself below
        assert decided(task(), other, level=level).path == ("other",)
        assert decided(task(), other, level=level).level == 1


def test_a_parent_answers_when_no_leaf_is_sure_enough() -> None:
    spec, values = task(min_score=0.5), logits(0.3, 0.35, 0.2, 0.1, 0.05)
    assert decided(spec, values) == Decision(label="bill", abstained=False, path=("bill",), level=1)
    assert decided(spec, values, AnswerRules(min_score=0.7)) == Decision(
        abstained=True, reason="min_score"
    )
    assert decided(spec, values, AnswerRules(abstain=False)).label == "bill/late"


def test_a_parent_must_reach_the_lowest_threshold_of_its_leaves() -> None:
    spec = task(thresholds=(0.9, 0.8, 0.7, 0.9, 0.9))
    assert decided(spec, logits(0.3, 0.3, 0.3, 0.05, 0.05)).reason == "below_threshold"
    assert decided(spec, logits(0.1, 0.05, 0.4, 0.35, 0.1)).label == "ship"
    assert decided(spec, logits(0.4, 0.4, 0.1, 0.05, 0.05)).label == "bill"
    strict = AnswerRules(thresholds={"bill": 0.95})
    assert decided(spec, logits(0.4, 0.4, 0.1, 0.05, 0.05), strict).reason == "below_threshold"


def test_a_label_may_be_the_parent_of_others() -> None:
    spec = task(("bill", "bill/late", "other"))
    values = logits(0.3, 0.3, 0.4)
    assert decided(spec, values).label == "other"
    assert decided(spec, values, level=1).label == "bill"
    assert decided(spec, logits(0.5, 0.3, 0.2)).path == ("bill",)


def test_a_parent_of_several_labels_has_the_highest_of_their_scores() -> None:
    values = np.array([-2.0, 1.0, -1.0, -3.0, 0.5])
    rules = rules_of(several(), level=1)
    nodes = scored_logits(several(), values, rules)
    assert sigmoid(nodes) == pytest.approx(sigmoid(np.array([1.0, -1.0, 0.5])))
    assert decided(several(), values) == Decision(labels=("bill/late", "other"), level=2)
    assert decided(several(), values, level=1) == Decision(labels=("bill", "other"), level=1)
    # A parent is answered if one of its leaves is, whichever their thresholds.
    own = several(thresholds=(0.1, 0.9, 0.5, 0.5, 0.9))
    assert decided(own, values).labels == ("bill/refund",)
    assert decided(own, values, level=1).labels == ("bill",)


def test_hundreds_of_labels_and_a_single_chain_work() -> None:
    labels = tuple(f"{n % 20}/{n % 100}/{n}" for n in range(600))
    spec = task(labels)
    values = np.random.default_rng(0).normal(size=600)
    tops = softmax(scored_logits(spec, values, rules_of(spec, level=1)))
    assert len(tops) == 20
    assert tops.sum() == pytest.approx(1)
    chain = task(("a/b/c/d", "e"))
    assert decided(chain, logits(0.6, 0.4)).path == ("a", "a/b", "a/b/c", "a/b/c/d")


def test_equal_parents_tie_and_the_first_is_the_answer() -> None:
    assert decided(task(), np.zeros(5), level=1).label == "bill"
    swapped = task(("ship/late", "ship/lost", "bill/refund", "bill/late", "other"))
    assert decided(swapped, np.zeros(5), level=1).label == "ship"


def test_a_single_label_below_a_parent_works() -> None:
    only = make_spec(BACKBONE, labels=("bill/late",), problem_type="multi_label_classification")
    assert decided(only, np.ones(1)) == Decision(labels=("bill/late",))
    assert decided(only, np.ones(1), level=1) == Decision(labels=("bill",), level=1)
    assert decided(only, -np.ones(1), level=1) == Decision(labels=(), level=1)


def test_names_in_any_script_form_a_tree() -> None:
    spec = task(("請求/返金", "請求/延滞料", "cafe\u0301/👍🏽", "دعم"))
    assert scored_names(spec, rules_of(spec, level=1)) == ("請求", "cafe\u0301", "دعم")
    assert decided(spec, logits(0.3, 0.2, 0.4, 0.1), level=1).path == ("請求",)
    assert decided(spec, logits(0.3, 0.2, 0.4, 0.1)).path == ("cafe\u0301", "cafe\u0301/👍🏽")
    assert decided(spec, logits(0.1, 0.2, 0.3, 0.4)).path == ("دعم",)


def test_the_rules_of_a_task_without_a_hierarchy_ignore_the_level() -> None:
    plain = make_spec(BACKBONE, labels=PLAIN)
    assert rules_of(plain, level=1) is None
    RuleOptions(level=2).check([plain, task()])
    with pytest.raises(InvalidRules, match="`level` 3: the tasks of the request have at most 2"):
        RuleOptions(level=3).check([plain, task()])
    with pytest.raises(InvalidRules, match="have no hierarchy"):
        RuleOptions(level=1).check([plain])


def test_thresholds_may_name_parents() -> None:
    check_labels(AnswerRules(thresholds={"bill": 0.5}), [task()], "the tasks")
    with pytest.raises(UnknownLabel):
        check_labels(AnswerRules(thresholds={"nobody": 0.5}), [task()], "the tasks")


def test_a_label_is_within_itself_and_its_parents() -> None:
    spec = task()
    assert is_within(spec, "bill/late", "bill")
    assert is_within(spec, "bill/late", "bill/late")
    assert not is_within(spec, "bill/late", "ship")
    assert not is_within(make_spec(BACKBONE, labels=LABELS), "bill/late", "bill")
