"""Decisions: from the logits of a text to its label or labels, or to none of them.

Rules read probabilities: softmax for a single label, and sigmoid for several, whichever scores a
response has. No rule changes a score.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from prefixes.answers.labels import DEFAULT_THRESHOLD, Logits, Scores, sigmoid, softmax
from prefixes.answers.rejection import Features, RejectionVerdict, rejection_verdict
from prefixes.answers.rules import RuleSet, level_thresholds, scored_logits, scored_names
from prefixes.spec import PrefixSpec

Reason = Literal["out_of_scope", "below_threshold", "min_score"]
"""Why there is no label: the text is unlike the training texts, no label reaches its threshold, or
the best one has too low a score."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one text: `label` of a single-label task, or `labels` of a multi-label task.

    `abstained` says whether a rule withheld the label, and `reason` which; it is None for tasks
    without rules, and for several labels. With a hierarchy, `path` leads from the top to the label,
    whose level is the length of the path; for several labels, `level` is theirs. `rejection` is the
    score of the text under the rejection rule, if the task has one.
    """

    label: str | None = None
    labels: tuple[str, ...] | None = None
    abstained: bool | None = None
    reason: Reason | None = None
    path: tuple[str, ...] | None = None
    level: int | None = None
    rejection: RejectionVerdict | None = None


def decide(
    spec: PrefixSpec, logits: Logits, rules: RuleSet | None, projected: Features | None = None
) -> Decision:
    """Decide the answer of a classification.

    Single label: no answer if the rejection rule rejects the text. Otherwise the label with the
    highest logit among those that reach their threshold. Without one, or if its probability is less
    than `min_score`, there is no answer; with a hierarchy, the level above is tried before. A task
    that may not abstain answers with its best label. Several labels: all that reach both their
    threshold and `min_score`.

    Args:
        spec: description of a sequence classification. A regression has no decision.
        logits: finite logits `[C]`.
        rules: the result of `rules_of`.
        projected: the projected features `[r]` of the text. Without them, a rejection rule that has
            vectors is not applied.
    """
    if spec.problem_type == "multi_label_classification":
        return _several(spec, logits, rules)
    if spec.problem_type == "regression":
        return Decision()
    if rules is None:
        return Decision(label=spec.labels[int(logits.argmax())])
    verdict = None
    if rules.rejection is not None:
        verdict = rejection_verdict(rules.rejection, logits, projected)
    if verdict is not None and verdict.is_rejected:
        return Decision(abstained=True, reason="out_of_scope", rejection=verdict)
    return replace(_backed_off(spec, logits, rules), rejection=verdict)


def _backed_off(spec: PrefixSpec, logits: Logits, rules: RuleSet) -> Decision:
    """Decide on the level of the rules or, if no label is sure enough, on one above it."""
    if rules.tree is None:
        return _single(spec.labels, logits, rules.thresholds, rules)
    withheld: Decision | None = None
    for number in range(rules.level, 0, -1):
        nodes = scored_logits(spec, logits, rules, level=number)
        names = rules.tree.levels[number - 1].names
        found = _single(names, nodes, level_thresholds(rules, rules.tree, number), rules)
        if found.label is not None:
            path = rules.tree.paths[found.label]
            return replace(found, path=path, level=len(path))
        withheld = withheld or found
    assert withheld is not None  # there is at least one level
    return withheld


def _single(names: Sequence[str], logits: Logits, thresholds: Scores, rules: RuleSet) -> Decision:
    scores = softmax(logits)
    reaches = scores >= thresholds
    allowed = reaches if reaches.any() else np.ones_like(reaches)
    # By logits: the probabilities of different logits may round to the same number.
    best = int(np.where(allowed, logits, -np.inf).argmax())
    reason: Reason | None = None
    if not reaches[best]:
        reason = "below_threshold"
    elif scores[best] < rules.min_score:
        reason = "min_score"
    if reason is not None and rules.may_abstain:
        return Decision(abstained=True, reason=reason)
    return Decision(label=names[best], abstained=False)


def _several(spec: PrefixSpec, logits: Logits, rules: RuleSet | None) -> Decision:
    names, nodes = scored_names(spec, rules), scored_logits(spec, logits, rules)
    if rules is None:
        floors: Scores | float = DEFAULT_THRESHOLD
    elif rules.tree is None:
        floors = rules.floors
    else:
        floors = np.maximum(level_thresholds(rules, rules.tree, rules.level), rules.min_score)
    places = np.flatnonzero(sigmoid(nodes) >= floors)
    level = None if rules is None or rules.tree is None else rules.level
    return Decision(labels=tuple(names[place] for place in places.tolist()), level=level)
