from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from prefixes import PrefixSpec
from prefixes.answers import Decision, check_labels, decide, rules_of
from prefixes.errors import UnknownLabel
from prefixes.spec import AnswerRules, Decisions
from prefixes.spec.statistics import (
    NUM_LENGTHS,
    NUM_SCORES,
    UNKNOWN_BOUNDS,
    AnswerStatistics,
)
from tests.factories import make_spec
from tests.prefixes.facts import BACKBONE

LABELS = ("a", "b", "c")


def single(**rules: Any) -> PrefixSpec:
    decisions = Decisions(**rules) if rules else None
    return make_spec(BACKBONE, labels=LABELS, decisions=decisions)


def multi(**changes: Any) -> PrefixSpec:
    kind = "multi_label_classification"
    return make_spec(BACKBONE, labels=LABELS, problem_type=kind, **changes)


def logits(*probabilities: float) -> Any:
    """Logits with these softmax probabilities."""
    return np.log(np.array(probabilities))


def odds(*probabilities: float) -> Any:
    """Logits with these sigmoid probabilities."""
    shares = np.array(probabilities)
    return np.log(shares / (1 - shares))


def decided(spec: PrefixSpec, values: Any, *overrides: AnswerRules | None) -> Decision:
    return decide(spec, values, rules_of(spec, *overrides))


def test_without_rules_the_label_of_the_highest_logit_is_the_answer() -> None:
    assert rules_of(single()) is None
    assert decided(single(), logits(0.2, 0.5, 0.3)) == Decision(label="b")
    huge = np.array([1e4, 1e4 + 0.01, 0])  # the same probability in float32
    assert decided(single(), huge) == Decision(label="b")


def test_statistics_in_the_file_are_not_a_rule() -> None:
    counts = AnswerStatistics(
        texts=0,
        labels=(0, 0, 0, 0),
        scores=(0,) * NUM_SCORES,
        lengths=(0,) * NUM_LENGTHS,
        unknown=(0,) * (len(UNKNOWN_BOUNDS) + 1),
    )
    assert rules_of(single(reference=counts)) is None
    assert rules_of(single(reference=counts, min_score=0.5)) is not None


def test_the_best_of_the_labels_that_reach_their_threshold_is_the_answer() -> None:
    spec = single(thresholds=(0.9, 0.6, 0.25))
    assert decided(spec, logits(0.65, 0.05, 0.3)) == Decision(label="c", abstained=False)
    assert decided(spec, logits(0.2, 0.65, 0.15)) == Decision(label="b", abstained=False)
    assert decided(spec, logits(0.6, 0.2, 0.2)) == Decision(
        abstained=True, reason="below_threshold"
    )


def test_a_probability_equal_to_its_threshold_reaches_it() -> None:
    assert decided(single(thresholds=(0.5, 0.5, 0)), np.zeros(2 + 1)).label == "c"
    assert decided(single(min_score=1.0), np.array([900.0, 0.0, 0.0])).label == "a"


def test_ties_go_to_the_first_label() -> None:
    assert decided(single(min_score=0.1), np.zeros(3)).label == "a"
    assert decided(single(thresholds=(0.4, 0.1, 0.1)), np.zeros(3)).label == "b"


def test_a_best_score_below_the_minimum_is_withheld() -> None:
    spec = single(min_score=0.6)
    assert decided(spec, logits(0.5, 0.3, 0.2)) == Decision(abstained=True, reason="min_score")
    assert decided(spec, logits(0.7, 0.2, 0.1)) == Decision(label="a", abstained=False)


def test_a_rule_of_a_request_replaces_that_of_the_alias_and_of_the_file() -> None:
    spec, values = single(min_score=0.6), logits(0.5, 0.3, 0.2)
    alias = AnswerRules(min_score=0.4)
    assert decided(spec, values, alias).label == "a"
    assert decided(spec, values, alias, AnswerRules(min_score=0.7)).reason == "min_score"
    assert decided(spec, values, None, AnswerRules(min_score=0)).label == "a"


def test_thresholds_are_replaced_label_by_label() -> None:
    spec = single(thresholds=(0.9, 0.9, 0.9))
    alias, request = AnswerRules(thresholds={"a": 0.4}), AnswerRules(thresholds={"b": 0.2})
    values = logits(0.45, 0.35, 0.2)
    assert decided(spec, values).reason == "below_threshold"
    assert decided(spec, values, alias).label == "a"
    assert decided(spec, values, alias, request).label == "a"
    assert decided(spec, values, None, request).label == "b"


def test_a_threshold_alone_leaves_the_other_labels_without_one() -> None:
    request = AnswerRules(thresholds={"b": 0.8})
    assert decided(single(), logits(0.1, 0.7, 0.2), request).label == "c"


def test_a_task_that_may_not_abstain_answers_with_its_best_label() -> None:
    spec = single(thresholds=(0.9, 0.9, 0.9), min_score=0.95)
    never = AnswerRules(abstain=False)
    assert decided(spec, logits(0.2, 0.5, 0.3), never) == Decision(label="b", abstained=False)
    # Thresholds still select among the labels that reach them.
    allowed = AnswerRules(abstain=False, thresholds={"c": 0.1})
    assert decided(spec, logits(0.2, 0.5, 0.3), allowed).label == "c"


def test_a_request_may_restore_what_the_alias_turned_off() -> None:
    spec, values, alias = single(min_score=0.9), logits(0.5, 0.3, 0.2), AnswerRules(abstain=False)
    assert decided(spec, values, alias).label == "a"
    assert decided(spec, values, alias, AnswerRules(abstain=True)).reason == "min_score"
    assert decided(spec, values, alias, AnswerRules(min_score=0.6)).reason == "min_score"


def test_several_labels_are_chosen_by_their_own_thresholds() -> None:
    values = odds(0.5, 0.75, 0.25)
    assert decided(multi(), np.array([0.0, 1.0, -1.0])) == Decision(labels=("a", "b"))
    own = multi(thresholds=(0.6, 0.8, 0.2))
    assert decided(own, values).labels == ("c",)
    assert decided(own, values, AnswerRules(thresholds={"b": 0.7})).labels == ("b", "c")
    assert decided(multi(), values, AnswerRules(thresholds={"c": 0.2})).labels == tuple("abc")


def test_the_minimum_score_is_a_floor_for_each_of_several_labels() -> None:
    values = odds(0.3, 0.55, 0.9)
    own = multi(thresholds=(0.2, 0.2, 0.95))
    assert decided(own, values).labels == ("a", "b")
    assert decided(own, values, AnswerRules(min_score=0.4)).labels == ("b",)
    assert decided(own, values, AnswerRules(min_score=0.99)) == Decision(labels=())


def test_rules_work_for_one_label_and_for_hundreds() -> None:
    one = make_spec(BACKBONE, labels=("a",), problem_type="multi_label_classification")
    assert decided(one, odds(0.4), AnswerRules(thresholds={"a": 0.3})).labels == ("a",)
    labels = tuple(f"label {number}" for number in range(700))
    many = make_spec(BACKBONE, labels=labels)
    values = np.linspace(0, 1, 700)
    assert decided(many, values, AnswerRules(min_score=0.5)).reason == "min_score"
    assert decided(many, values, AnswerRules(thresholds={labels[-1]: 1.0})).label == labels[-2]


def test_logits_however_large_give_a_decision() -> None:
    values = np.array([3e4, -3e4, 0], dtype=np.float32)
    assert decided(single(min_score=1.0), values).label == "a"
    assert decided(multi(), values, AnswerRules(min_score=1.0)).labels == ("a",)


def test_a_regression_has_no_decision() -> None:
    spec = make_spec(BACKBONE, labels=("stars",), problem_type="regression")
    assert decided(spec, np.array([3.0]), AnswerRules(min_score=0.5)) == Decision()


def test_rules_that_exclude_each_other_are_rejected() -> None:
    with pytest.raises(ValidationError, match="exclude each other"):
        AnswerRules(abstain=False, min_score=0.5)
    with pytest.raises(ValidationError):
        AnswerRules(min_score=float("nan"))
    with pytest.raises(ValidationError):
        AnswerRules(thresholds={"a": 1.5})


def test_a_threshold_for_a_label_of_no_task_is_rejected() -> None:
    rules = AnswerRules(thresholds={"a": 0.5, "d": 0.5})
    check_labels(rules, [single(), make_spec(BACKBONE, labels=("c", "d"))], "the tasks")
    with pytest.raises(UnknownLabel, match=r'"d".*the tasks. Known labels: "a", "b", "c"'):
        check_labels(rules, [single(), multi()], "the tasks")
    number = make_spec(BACKBONE, labels=("d",), problem_type="regression")
    with pytest.raises(UnknownLabel, match="Known labels: none"):
        check_labels(AnswerRules(thresholds={"d": 0.5}), [number], "the tasks")
