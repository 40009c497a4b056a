"""Rules: those of the file, the alias and the request together, for one task.

A rule of a request replaces that of the alias, which replaces that of the prefix file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from prefixes.answers.hierarchy import Tree, tree_of
from prefixes.answers.labels import DEFAULT_THRESHOLD, Logits, Scores
from prefixes.spec import AnswerRules, PrefixSpec, Rejection


@dataclass(frozen=True, slots=True, eq=False)
class RuleSet:
    """The rules that apply to one task: thresholds `[C]` in the order of its labels.

    With a `tree`, the answer is a label of the `level`, or of a higher one if none is sure enough.
    `parents` has the thresholds that were set for parents. `rejection` comes before all others.
    """

    thresholds: Scores
    min_score: float = 0.0
    may_abstain: bool = True
    tree: Tree | None = None
    level: int = 1
    parents: Mapping[str, float] = field(default_factory=dict)
    rejection: Rejection | None = None

    @property
    def floors(self) -> Scores:
        """The probability `[C]` from which a label is one of several answers."""
        return np.maximum(self.thresholds, self.min_score)


def rules_of(
    spec: PrefixSpec, *overrides: AnswerRules | None, level: int | None = None
) -> RuleSet | None:
    """Combine the rules of a task's file with those that replace them, the strongest last.

    `level` selects a level of the task's hierarchy, the deepest one if it has fewer.

    Returns:
        None if no rule is in use, so that the best label is the answer.
    """
    if not spec.has_labels_of_texts:
        return None
    given = [one for one in overrides if one is not None and one.has_rules]
    own = spec.decisions if spec.decisions is not None and spec.decisions.has_rules else None
    is_tree_in_use = level is not None or (own is not None and own.hierarchy is not None)
    tree = tree_of(spec) if is_tree_in_use else None
    if not given and own is None and spec.thresholds is None and tree is None:
        return None
    min_score = None if own is None else own.min_score
    may_abstain = True
    for one in given:
        if one.min_score is not None:
            min_score, may_abstain = one.min_score, True
        elif one.abstain is not None:
            may_abstain = one.abstain
    named: dict[str, float] = {}
    for one in given:
        named |= one.thresholds or {}
    return RuleSet(
        _thresholds(spec, named),
        (min_score or 0.0) if may_abstain else 0.0,
        may_abstain,
        tree,
        1 if tree is None else min(level or tree.depth, tree.depth),
        named,
        spec.rejection if may_abstain else None,
    )


def scored_names(spec: PrefixSpec, rules: RuleSet | None) -> tuple[str, ...]:
    """Return the names that have scores: the labels, or those of the rules' level."""
    if rules is None or rules.tree is None:
        return spec.labels
    return rules.tree.levels[rules.level - 1].names


def scored_logits(
    spec: PrefixSpec, logits: Logits, rules: RuleSet | None, *, level: int | None = None
) -> Logits:
    """Return the logits of `scored_names`, or of another level, from those of the labels."""
    if rules is None or rules.tree is None:
        return logits
    are_exclusive = spec.problem_type == "single_label_classification"
    nodes = rules.tree.levels[(level or rules.level) - 1]
    return nodes.logits(logits, are_exclusive=are_exclusive)


def _thresholds(spec: PrefixSpec, named: Mapping[str, float]) -> Scores:
    is_multi = spec.problem_type == "multi_label_classification"
    own = spec.label_thresholds
    found = np.full(spec.num_labels, DEFAULT_THRESHOLD if is_multi else 0.0)
    if own is not None:
        found[:] = own
    _replace(found, spec.labels, named)
    return found


def level_thresholds(rules: RuleSet, tree: Tree, level: int) -> Scores:
    """Return the thresholds `[N]` of a level. A parent has the lowest one of its leaves."""
    nodes = tree.levels[level - 1]
    found = nodes.lowest(rules.thresholds)
    _replace(found, nodes.names, rules.parents)
    return found


def _replace(thresholds: Scores, names: Sequence[str], named: Mapping[str, float]) -> None:
    if not named:
        return
    places = {name: place for place, name in enumerate(names)}
    for name, threshold in named.items():
        if name in places:
            thresholds[places[name]] = threshold
